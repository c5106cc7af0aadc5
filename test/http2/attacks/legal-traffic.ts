import { DEFAULT_MAX_FRAME_BYTES, ErrorCode, Flag } from "../../../src/http2/frames.ts";
import { ATTACKED_BOUNDS } from "./attacked-bounds.ts";
import type { RawAnswer, RawClient } from "./raw-client.ts";
import {
  block,
  data,
  headers,
  helloWithWindow,
  insertion,
  lastData,
  request,
  requestTo,
  windowUpdate,
} from "./raw-frames.ts";

/** What is odd or greedy, but within the rules: its connection lives on, and the server holds no more than its bounds. */
export interface LegalTraffic {
  readonly name: string;
  readonly hello?: Uint8Array;
  /** Answers in which each of the streams is expected to end. */
  run(client: RawClient): Promise<readonly RawAnswer[]>;
  readonly expected: Partial<RawAnswer>;
}

const NO_BYTES = Buffer.alloc(0);
const FULL_FRAME = Buffer.alloc(DEFAULT_MAX_FRAME_BYTES);
const ANSWER_BYTES = 300;

function idOf(index: number): number {
  return 1 + 2 * index;
}

/** One after the other. */
async function inTurn(
  client: RawClient,
  count: number,
  framesOf: (streamId: number) => readonly Uint8Array[],
): Promise<RawAnswer[]> {
  const answers: RawAnswer[] = [];
  for (let index = 0; index < count; index++) {
    await client.send(...framesOf(idOf(index)));
    answers.push(await client.answered(idOf(index)));
  }
  return answers;
}

export const legalTraffic: readonly LegalTraffic[] = [
  {
    name: "many answers that wait for a window which never opens are given up",
    hello: helloWithWindow(0),
    async run(client) {
      const ids = Array.from({ length: ATTACKED_BOUNDS.maxConcurrentStreams }, (_, index) => idOf(index));
      await client.send(...ids.map((id) => request(id, requestTo("/ok"))));
      return Promise.all(ids.map((id) => client.answered(id)));
    },
    expected: { status: "200", dataFrames: 0, resetCode: ErrorCode.CANCEL },
  },
  {
    name: "an answer for which the window opens by one byte at a time comes whole",
    hello: helloWithWindow(0),
    async run(client) {
      await client.send(request(1, requestTo("/ok")));
      for (let sent = 0; sent < ANSWER_BYTES; sent++) await client.send(windowUpdate(1, 1));
      return [await client.answered(1)];
    },
    expected: { status: "200", dataFrames: ANSWER_BYTES, isWhole: true },
  },
  {
    name: "a request that comes byte by byte is answered",
    async run(client) {
      const bytes = Buffer.concat([headers(1, requestTo("/length")), lastData(1, Buffer.alloc(10))]);
      for (const byte of bytes) await client.send(Buffer.from([byte]));
      return [await client.answered(1)];
    },
    expected: { status: "200", body: Buffer.from("10"), isWhole: true },
  },
  {
    name: "bodies that never end are answered, and let go",
    async run(client) {
      const ids = Array.from({ length: ATTACKED_BOUNDS.maxConcurrentStreams }, (_, index) => idOf(index));
      await client.send(...ids.map((id) => headers(id, requestTo("/length"))));
      const answers = await Promise.all(ids.map((id) => client.answered(id)));
      await client.until(() => client.resets().length === ids.length);
      return answers;
    },
    expected: { status: "408", isWhole: true, resetCode: ErrorCode.NO_ERROR },
  },
  {
    name: "a body that never ends of a handler that does not read is let go",
    async run(client) {
      await client.send(headers(1, requestTo("/node")), data(1, FULL_FRAME));
      const answer = await client.answered(1);
      await client.until(() => client.resets().length === 1);
      return [answer];
    },
    expected: { status: "200", isWhole: true, resetCode: ErrorCode.NO_ERROR },
  },
  {
    name: "bodies that no handler reads do not use up the connection's window",
    run: (client) => inTurn(client, 80, (id) => [headers(id, requestTo("/node")), lastData(id, FULL_FRAME)]),
    expected: { status: "200", isWhole: true, resetCode: undefined },
  },
  {
    name: "trailers without a field end a request",
    run: (client) => inTurn(client, 200, (id) => [headers(id, requestTo("/length")), request(id, NO_BYTES)]),
    expected: { status: "200", body: Buffer.from("0"), isWhole: true },
  },
  {
    name: "references to one large field make no large list",
    async run(client) {
      const large = insertion("bomb", "b".repeat(4000));
      await client.send(request(1, Buffer.concat([requestTo("/ok"), large])));
      await client.answered(1);
      const bomb = Buffer.concat([requestTo("/ok"), Buffer.alloc(16_000, 0xbe)]);
      const ids = Array.from({ length: 50 }, (_, index) => idOf(index + 1));
      await client.send(...ids.map((id) => request(id, bomb)));
      return Promise.all(ids.map((id) => client.answered(id)));
    },
    expected: { status: "431", isWhole: true, resetCode: undefined },
  },
  {
    name: "references to one large field in trailers are dropped",
    async run(client) {
      const large = insertion("bomb", "b".repeat(4000));
      await client.send(request(1, Buffer.concat([requestTo("/ok"), large])));
      await client.answered(1);
      const bomb = Buffer.alloc(16_000, 0xbe);
      const ids = Array.from({ length: 50 }, (_, index) => idOf(index + 1));
      await client.send(...ids.flatMap((id) => [headers(id, requestTo("/ok")), request(id, bomb)]));
      return Promise.all(ids.map((id) => client.answered(id)));
    },
    expected: { status: "200", isWhole: true, resetCode: undefined },
  },
  {
    name: "a header list above its bound is told of, and its body let go",
    async run(client) {
      const tooMuch = Buffer.concat([requestTo("/ok"), block("x", "y".repeat(8100), "x", "y".repeat(8100))]);
      await client.send(headers(1, tooMuch), data(1, FULL_FRAME));
      const answer = await client.answered(1);
      await client.until(() => client.resets().length === 1);
      return [answer];
    },
    expected: { status: "431", isWhole: true, resetCode: ErrorCode.NO_ERROR },
  },
  {
    name: "ids that leave out thousands are no more work than others",
    async run(client) {
      const ids = Array.from({ length: 500 }, (_, index) => 1 + 2000 * index);
      const answers: RawAnswer[] = [];
      for (const id of ids) {
        await client.send(request(id, requestTo("/ok")));
        answers.push(await client.answered(id));
      }
      return answers;
    },
    expected: { status: "200", isWhole: true },
  },
  {
    name: "padding is no body",
    run: (client) =>
      inTurn(client, 200, (id) => [
        headers(id, requestTo("/length")),
        data(id, Buffer.from([255, 1, 2, 3, ...Buffer.alloc(255)]), { flags: Flag.PADDED | Flag.END_STREAM }),
      ]),
    expected: { status: "200", body: Buffer.from("3"), isWhole: true },
  },
];
