import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import { isDeepStrictEqual } from "node:util";
import { Flag, FrameType, Setting } from "../../../src/http2/frames.ts";
import { HpackEncoder, maxEncodedBytes } from "../../../src/http2/hpack-encoder.ts";
import { createListener, type Listener, type RequestHandler } from "../../../src/http2/listener.ts";
import { type Choices, createChoices } from "../../exact/choices.ts";
import {
  frame,
  opening,
  padded,
  ping,
  type RawFrame,
  rstStream,
  settings,
  uint32,
  windowUpdate,
} from "./frame-bytes.ts";
import { type RawAnswer, rawExchange } from "./raw-exchange.ts";

/** Our engine and Node's, with the same handler, each on a port of its own. */
export interface BothEngines {
  readonly ports: Readonly<Record<"tollgate" | "node", number>>;
  stop(): Promise<void>;
}

export async function startBothEngines(): Promise<BothEngines> {
  const listeners: Listener[] = [];
  const start = async (engine: "tollgate" | "node") => {
    const listener = createListener({ engine, onRequest: echo });
    listeners.push(listener);
    const address = await listener.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
    return address.kind === "tcp" ? address.port : 0;
  };
  return {
    ports: { tollgate: await start("tollgate"), node: await start("node") },
    async stop() {
      await Promise.all(listeners.map((listener) => listener.drain(0)));
    },
  };
}

/** Sends the body back, as often as asked, and tells of the fields by their digest. */
const echo: RequestHandler = (request, response) => {
  const { method, url, headers } = request;
  const chunks: Buffer[] = [];
  request.on("error", () => {});
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    const fields = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
    const digest = createHash("sha256")
      .update(JSON.stringify([method, url, fields]))
      .digest("hex");
    const answer = response as ServerResponse;
    answer.writeHead(Number(headers["x-status"] ?? 200), {
      "x-fields": digest,
      "set-cookie": ["a=1", "b=2"],
    });
    answer.addTrailers({ "x-bytes": String(body.length) });
    const times = Number(headers["x-times"] ?? 1);
    for (let time = 1; time < times; time++) answer.write(body);
    answer.end(body);
  });
};

/** Sends the same bytes to both, by chance but right. Throws an Error where their answers are not the same. */
export async function compareEngines(seed: number, { ports }: BothEngines): Promise<void> {
  const traffic = randomTraffic(createChoices(seed, 0));
  const told = await Promise.all(
    [ports.tollgate, ports.node].map(async (port) => {
      const { answers, pings, goaways } = await rawExchange({
        port,
        ...traffic,
        pings: traffic.pings.length,
      });
      return {
        answers: traffic.streamIds.map((id) => [id, plainOf(answers.get(id))]),
        pings,
        goaways,
      };
    }),
  );
  const [ours, nodes] = told;
  const expected = { pings: traffic.pings, goaways: [] };
  for (const side of told) {
    if (!isDeepStrictEqual({ pings: side.pings, goaways: side.goaways }, expected)) {
      throw new Error(`${JSON.stringify(side.pings)}, GOAWAY ${side.goaways.join()}`);
    }
  }
  if (isDeepStrictEqual(ours, nodes)) return;
  const at = traffic.streamIds.findIndex(
    (_, index) => !isDeepStrictEqual(ours?.answers[index], nodes?.answers[index]),
  );
  throw new Error(`not the same: ${JSON.stringify([ours?.answers[at], nodes?.answers[at]])}`);
}

/** What a client makes of it, in whatever frames it came. */
function plainOf(answer: RawAnswer | undefined): unknown {
  if (answer === undefined) return undefined;
  const body = Buffer.concat(answer.body);
  const pairs = (fields: readonly string[]) =>
    fields
      .flatMap((field, index) =>
        index % 2 === 0 && field !== "date" ? [`${field}: ${fields[index + 1]}`] : [],
      )
      .sort();
  return {
    blocks: answer.blocks.map(pairs),
    bytes: body.length,
    digest: createHash("sha256").update(body).digest("hex"),
    resetCode: answer.resetCode,
  };
}

interface Traffic {
  readonly pieces: Buffer[];
  /** Of those that are answered. */
  readonly streamIds: number[];
  readonly pings: string[];
}

/** Fewer bytes of bodies than any window has, as nothing is read before all is sent. */
const MOST_BODY_BYTES = 60_000;

function randomTraffic(choices: Choices): Traffic {
  const encoder = new HpackEncoder();
  const queues: RawFrame[][] = [];
  const streamIds: number[] = [];
  const pings: string[] = [];
  let bytesLeft = MOST_BODY_BYTES;
  const count = 1 + choices.below(20);
  const heads: RawFrame[][] = [];
  for (let nth = 0; nth < count; nth++) {
    const streamId = 2 * nth + 1;
    const body = Buffer.alloc(
      Math.min(bytesLeft >> 1, choices.oneOf([0, 0, 5, 200, 5000, 30_000])),
      97 + (nth % 26),
    );
    const isReset = choices.chance(0.1);
    if (!isReset) streamIds.push(streamId);
    const trailers = choices.chance(0.2);
    const bodyFrames = dataFrames(choices, { streamId, body, isEnd: !trailers && !isReset });
    for (const each of bodyFrames) bytesLeft -= each.payload.length;
    const isEmpty = bodyFrames.length === 0 && !trailers && !isReset;
    heads.push(headFrames(choices, { encoder, streamId, body, isEnd: isEmpty }));
    if (isReset) bodyFrames.push(rstStream(streamId, 8));
    else if (trailers) {
      const flags = Flag.END_STREAM | Flag.END_HEADERS;
      bodyFrames.push(blockFrame(encoder, { streamId, fields: ["x-trailer", "t"], flags }));
    }
    queues.push(bodyFrames);
    if (bytesLeft < 1000) break;
  }
  const first: RawFrame[] = [];
  const window = choices.oneOf([0, 1, 100, 65_535, 1_000_000]);
  if (choices.chance(0.7)) first.push(settings([Setting.INITIAL_WINDOW_SIZE, window]));
  if (choices.chance(0.3)) first.push(settings([Setting.HEADER_TABLE_SIZE, choices.oneOf([0, 100, 4096])]));
  if (choices.chance(0.2)) first.push(settings([Setting.MAX_FRAME_SIZE, choices.oneOf([16_384, 1_000_000])]));
  const frames = interleaved(choices, { heads, queues, pings });
  // At last all answers may come.
  const ids = [0, ...streamIds];
  const last = ids.map((id) => windowUpdate(id, 10_000_000));
  const bytes = opening(...first, ...frames, ...last);
  return { pieces: piecesOf(bytes, choices), streamIds, pings };
}

/** Heads in their order, what follows on each in its own, and frames of the connection between. */
function interleaved(
  choices: Choices,
  { heads, queues, pings }: { heads: RawFrame[][]; queues: RawFrame[][]; pings: string[] },
): RawFrame[] {
  const frames: RawFrame[] = [];
  let opened = 0;
  while (opened < heads.length || queues.some((queue) => queue.length > 0)) {
    if (opened < heads.length && choices.chance(0.5)) frames.push(...(heads[opened++] as RawFrame[]));
    const waiting = queues.slice(0, opened).filter((queue) => queue.length > 0);
    const next = waiting.length === 0 ? undefined : choices.oneOf(waiting).shift();
    if (next !== undefined) frames.push(next);
    if (choices.chance(0.1)) {
      pings.push(`ping ${pings.length}`.padEnd(8));
      frames.push(ping(pings.at(-1) as string));
    }
    if (choices.chance(0.1))
      frames.push(frame(FrameType.PRIORITY, { streamId: 101, payload: Buffer.alloc(5) }));
    if (choices.chance(0.1)) frames.push(frame(0xbe, { payload: Buffer.alloc(choices.below(50)) }));
    if (choices.chance(0.1)) frames.push(windowUpdate(0, 1 + choices.below(5000)));
  }
  return frames;
}

function dataFrames(choices: Choices, of: { streamId: number; body: Buffer; isEnd: boolean }): RawFrame[] {
  const { streamId, body, isEnd } = of;
  const frames: RawFrame[] = [];
  for (let at = 0; at < body.length; ) {
    const size = Math.min(1 + choices.below(choices.oneOf([2000, 8000, 16_000])), body.length - at);
    frames.push(dataFrame(choices, { streamId, body: body.subarray(at, at + size) }));
    at += size;
  }
  if (isEnd && (frames.length === 0 ? choices.chance(0.5) : choices.chance(0.2))) {
    frames.push(frame(FrameType.DATA, { streamId }));
  }
  const last = frames.pop();
  if (last !== undefined) frames.push({ ...last, flags: last.flags | (isEnd ? Flag.END_STREAM : 0) });
  return frames;
}

function dataFrame(choices: Choices, { streamId, body }: { streamId: number; body: Buffer }): RawFrame {
  if (choices.chance(0.8)) return frame(FrameType.DATA, { streamId, payload: body });
  return frame(FrameType.DATA, { streamId, flags: Flag.PADDED, payload: padded(body, choices.below(30)) });
}

function headFrames(
  choices: Choices,
  of: { encoder: HpackEncoder; streamId: number; body: Buffer; isEnd: boolean },
): RawFrame[] {
  const { encoder, streamId, body, isEnd } = of;
  const method = choices.oneOf(["POST", "POST", "PUT", "GET", "HEAD"]);
  const pseudo = [
    [":method", method],
    [":scheme", "http"],
    [":path", `/${"p".repeat(choices.below(40))}?q=${choices.below(9)}`],
    [":authority", "127.0.0.1"],
  ];
  if (choices.chance(0.3)) pseudo.reverse();
  const more: string[] = [];
  if (choices.chance(0.3)) more.push("content-length", String(body.length));
  if (choices.chance(0.3)) more.push("content-type", choices.oneOf(["text/plain", "application/grpc"]));
  if (choices.chance(0.3)) more.push("x-times", String(choices.below(6)));
  if (choices.chance(0.3)) more.push("x-status", choices.oneOf(["200", "204", "304", "404", "500"]));
  if (choices.chance(0.3)) more.push("x-twice", "1", "x-twice", "2");
  if (choices.chance(0.3)) more.push("cookie", "a=1", "cookie", "b=2");
  if (choices.chance(0.3))
    more.push("authorization", `Bearer ${"s".repeat(1 + choices.below(300))}`, "te", "trailers");
  if (choices.chance(0.2)) more.push("x-bytes-bin", "\u00e9\u00ff", "x-empty", "");
  const end = isEnd ? Flag.END_STREAM : 0;
  const whole = blockFrame(encoder, { streamId, fields: [...pseudo.flat(), ...more], flags: end });
  return split(choices, whole);
}

function blockFrame(
  encoder: HpackEncoder,
  of: { streamId: number; fields: string[]; flags: number },
): RawFrame {
  const payload = Buffer.alloc(maxEncodedBytes(of.fields));
  const end = encoder.encode(of.fields, payload, 0);
  return frame(FrameType.HEADERS, {
    streamId: of.streamId,
    flags: of.flags,
    payload: payload.subarray(0, end),
  });
}

/** HEADERS, with padding and a priority or without, and CONTINUATION frames. */
function split(choices: Choices, { streamId, flags, payload }: RawFrame): RawFrame[] {
  const cuts = choices.oneOf([0, 0, 1, 3]);
  const parts: Buffer[] = [];
  let rest = payload;
  for (let cut = 0; cut < cuts; cut++) {
    const at = choices.below(rest.length + 1);
    parts.push(rest.subarray(0, at));
    rest = rest.subarray(at);
  }
  parts.push(rest);
  let first = flags;
  let [head] = parts as [Buffer];
  if (choices.chance(0.2)) {
    first |= Flag.PRIORITY;
    head = Buffer.concat([uint32(0), Buffer.from([16]), head]);
  }
  if (choices.chance(0.2)) {
    first |= Flag.PADDED;
    head = padded(head, choices.below(100));
  }
  return [head, ...parts.slice(1)].map((part, index) =>
    frame(index === 0 ? FrameType.HEADERS : FrameType.CONTINUATION, {
      streamId,
      flags: (index === 0 ? first : 0) | (index === cuts ? Flag.END_HEADERS : 0),
      payload: part,
    }),
  );
}

function piecesOf(bytes: Buffer, choices: Choices): Buffer[] {
  const most = choices.oneOf([40, 500, 20_000, bytes.length]);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const next = at + 1 + choices.below(most);
    pieces.push(bytes.subarray(at, next));
    at = next;
  }
  return pieces;
}
