import { DEFAULT_MAX_FRAME_BYTES, ErrorCode, Flag } from "../../../src/http2/frames.ts";
import { checkBlock } from "./check-frames.ts";
import type { RawClient } from "./raw-client.ts";
import {
  continuation,
  data,
  HELLO,
  headers,
  helloWithWindow,
  insertion,
  lastData,
  ping,
  request,
  reset,
  settings,
  windowUpdate,
} from "./raw-frames.ts";

/** An attack on the service itself, with the bounds that it has by default. */
export interface CheckAttack {
  readonly name: string;
  readonly hello: Uint8Array;
  /** Of the GOAWAY that ends the connection; undefined: it lives on, within its bounds. */
  readonly code: ErrorCode | undefined;
  run(client: RawClient): Promise<void>;
}

export interface CheckAttackOptions {
  readonly token: string;
  /** Of a Check that is allowed. */
  readonly body: Uint8Array;
}

/** More than the bursts of listener.ts, and what their rates give back meanwhile. */
const MANY_RESETS = 4000;
const MANY_CONTROL_FRAMES = 30_000;
/** Frames that are written at a time. */
const BATCH = 100;
const NO_BYTES = Buffer.alloc(0);
const ONE_BYTE = Buffer.from([0]);
const ONE_REFERENCE = 0xbe;

export function checkAttacks({ token, body }: CheckAttackOptions): readonly CheckAttack[] {
  const check = checkBlock(token);
  const { ENHANCE_YOUR_CALM } = ErrorCode;

  function many(
    name: string,
    count: number,
    framesOf: (streamId: number) => readonly Uint8Array[],
    { first = [], hello = HELLO }: { first?: readonly Uint8Array[]; hello?: Uint8Array } = {},
  ): CheckAttack {
    return {
      name,
      hello,
      code: ENHANCE_YOUR_CALM,
      async run(client) {
        await client.send(...first);
        for (let index = 0; index < count && !client.isEnded; ) {
          const some: Uint8Array[] = [];
          for (const end = index + BATCH; index < end; index++) some.push(...framesOf(1 + 2 * index));
          await client.send(...some);
        }
      },
    };
  }

  return [
    many("rapid reset", MANY_RESETS, (id) => [headers(id, check), lastData(id, body), reset(id)]),
    many("MadeYouReset", MANY_RESETS, (id) => [headers(id, check), windowUpdate(id, 0)]),
    many("streams that are left open", MANY_CONTROL_FRAMES, (id) => [headers(id, check)]),
    many("PING", MANY_CONTROL_FRAMES, () => [ping("x")]),
    many("SETTINGS", MANY_CONTROL_FRAMES, () => [settings()]),
    many("DATA of one byte", MANY_CONTROL_FRAMES, () => [data(1, ONE_BYTE)], { first: [headers(1, check)] }),
    many("empty DATA", MANY_CONTROL_FRAMES, () => [data(1, NO_BYTES)], { first: [headers(1, check)] }),
    many("CONTINUATION", 1000, () => [continuation(1, NO_BYTES)], {
      first: [headers(1, NO_BYTES, { flags: 0 })],
    }),
    many(
      "windows of answers that grow by a byte",
      MANY_CONTROL_FRAMES,
      (id) => [settings([0x4, 1 + (id % 200)])],
      {
        hello: helloWithWindow(0),
        first: Array.from({ length: 500 }, (_, index) => [
          headers(1 + 2 * index, check),
          lastData(1 + 2 * index, body),
        ]).flat(),
      },
    ),
    {
      name: "references to one large field",
      hello: HELLO,
      code: undefined,
      async run(client) {
        const large = insertion("bomb", "b".repeat(4000));
        await client.send(request(1, Buffer.concat([check, large])));
        const bomb = Buffer.concat([check, Buffer.alloc(15_000, ONE_REFERENCE)]);
        for (let id = 3; id < 400; id += 2) await client.send(request(id, bomb));
        await client.roundTrip();
      },
    },
    {
      name: "answers that nobody may send",
      hello: helloWithWindow(0),
      code: undefined,
      async run(client) {
        for (let id = 1; id < 2000; id += 2) await client.send(headers(id, check), lastData(id, body));
        await client.roundTrip();
      },
    },
    {
      name: "bodies as large as may be that do not end",
      hello: HELLO,
      code: undefined,
      async run(client) {
        const piece = Buffer.alloc(DEFAULT_MAX_FRAME_BYTES);
        for (let id = 1; id < 40; id += 2) {
          await client.send(headers(id, check));
          for (let sent = 0; sent < 3; sent++) await client.send(data(id, piece));
        }
        await client.roundTrip();
      },
    },
    {
      name: "trailers of a body that has not come",
      hello: HELLO,
      code: undefined,
      async run(client) {
        for (let id = 1; id < 400; id += 2) {
          await client.send(
            headers(id, check),
            headers(id, NO_BYTES, { flags: Flag.END_HEADERS | Flag.END_STREAM }),
          );
        }
        await client.roundTrip();
      },
    },
  ];
}
