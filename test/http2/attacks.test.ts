import { once } from "node:events";
import { connect } from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createListener, type Listener, type ListenerBounds } from "../../src/http2/listener.ts";
import { until } from "../support/until.ts";
import { attackServer } from "./attacks/attack-server.ts";
import { ATTACKED_BOUNDS } from "./attacks/attacked-bounds.ts";
import { type AttackedServer, type ServerReport, startAttackedServer } from "./attacks/attacked-server.ts";
import { attacks } from "./attacks/attacks.ts";
import { startGoodClient } from "./attacks/good-client.ts";
import type { GoodClient } from "./attacks/keep-asking.ts";
import { legalTraffic } from "./attacks/legal-traffic.ts";
import { connectRaw, type RawClient } from "./attacks/raw-client.ts";
import {
  goaway,
  HELLO,
  HELLO_FRAMES,
  headers,
  helloWithWindow,
  ping,
  request,
  requestTo,
  reset,
} from "./attacks/raw-frames.ts";

/** By which the server's resident set may grow above what a good client makes of it, whatever the attack. */
const MOST_GROWTH_BYTES = 256 * 1024 * 1024;

let server: AttackedServer;
let good: GoodClient;
let quiet: ServerReport;

beforeAll(async () => {
  server = await startAttackedServer();
  good = startGoodClient(server.port);
  await until(() => good.answers() > 500);
  quiet = await server.report();
});

afterAll(async () => {
  await good?.stop();
  await server?.stop();
});

/** The good client goes on, and what the attack took is free again. Answers the report of then. */
async function expectNothingLeft(): Promise<ServerReport> {
  const before = good.answers();
  let report = await server.report();
  const faults = [...report.faults];
  await until(async () => {
    report = await server.report();
    faults.push(...report.faults);
    const { connections, streams, working, queuedBytes, timers } = report;
    return connections === 1 && streams <= 1 && working === 0 && queuedBytes === 0 && timers <= quiet.timers;
  });
  await until(() => good.answers() > before);
  expect(report.peakBytes - quiet.peakBytes).toBeLessThan(MOST_GROWTH_BYTES);
  return { ...report, faults };
}

async function withClient<T>(
  options: Partial<Parameters<typeof connectRaw>[0]>,
  use: (client: RawClient) => Promise<T>,
): Promise<T> {
  const client = await connectRaw({ port: server.port, ...options });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

describe("an attack ends its own connection only", () => {
  test.each(attacks)("$name", async (attack) => {
    const outcome = await attackServer(server.port, attack);
    expect(outcome.code).toBe(attack.code);
    expect(outcome.frames).toBeLessThanOrEqual(attack.mostFrames);
    await expectNothingLeft();
  });
});

describe("what is legal harms nobody", () => {
  test.each(legalTraffic)("$name", async ({ hello, run, expected }) => {
    const options = hello === undefined ? {} : { hello };
    await withClient(options, async (client) => {
      const answers = await run(client);
      expect(answers.length).toBeGreaterThan(0);
      for (const answer of answers) expect(answer).toMatchObject(expected);
      await client.roundTrip();
    });
    await expectNothingLeft();
  });

  test("slow requests that are reset keep their places until their work is done", async () => {
    const { maxConcurrentStreams } = ATTACKED_BOUNDS;
    const REFUSED = 7;
    const before = (await server.report()).resets;
    await withClient({}, async (client) => {
      const ids = Array.from({ length: 2 * maxConcurrentStreams }, (_, index) => 1 + 2 * index);
      // All at once, before any work is done.
      const half = ids.slice(0, maxConcurrentStreams);
      await client.send(
        ...half.flatMap((id) => [request(id, requestTo("/slow")), reset(id)]),
        ...ids.slice(maxConcurrentStreams).map((id) => request(id, requestTo("/slow"))),
      );
      await client.roundTrip();
      expect(client.resets()).toEqual(half.map(() => REFUSED));
      // Their work goes on, to nobody; then there is room.
      await until(async () => (await server.report()).working === 0);
      const next = 2 * ids.length + 1;
      await client.send(request(next, requestTo("/slow")));
      expect(await client.answered(next)).toMatchObject({ status: "200" });
    });
    const { mostWorking, resets } = await expectNothingLeft();
    expect(mostWorking).toBe(maxConcurrentStreams);
    expect((resets["client 8"] ?? 0) - (before["client 8"] ?? 0)).toBe(maxConcurrentStreams);
    expect((resets["server 7"] ?? 0) - (before["server 7"] ?? 0)).toBe(maxConcurrentStreams);
  });

  test("a client that reads nothing is cut off, and told of", async () => {
    await server.report();
    await withClient({ hello: helloWithWindow(2 ** 30), reads: false }, async (client) => {
      for (let id = 1; id < 100; id += 2) await client.send(request(id, requestTo("/large")));
      const { faults } = await expectNothingLeft();
      expect(faults).toEqual(["ENHANCE_YOUR_CALM: too much is held for it"]);
    });
  });

  test("a thousand connections that send nothing, or the preface only, are closed", async () => {
    const clients = await Promise.all(
      Array.from({ length: 1000 }, (_, index) => {
        const hello = HELLO.subarray(0, [0, 10, 24][index % 3]);
        return connectRaw({ port: server.port, hello });
      }),
    );
    await Promise.all(clients.map(({ ended }) => ended));
    await expectNothingLeft();
  });

  test("after a client's GOAWAY what is open is answered, and nothing else is opened", async () => {
    await withClient({}, async (client) => {
      await client.send(request(1, requestTo("/slow")), goaway(0), request(3, requestTo("/slow")));
      expect(await client.answered(1)).toMatchObject({ status: "200", isWhole: true });
      expect(await client.answered(3)).toMatchObject({ status: undefined, resetCode: 7 });
      expect(await client.ended).toEqual({ code: 0 });
    });
    await expectNothingLeft();
  });
});

describe("in a listener of one's own", () => {
  const listeners: Listener[] = [];

  afterAll(async () => {
    await Promise.all(listeners.map((listener) => listener.drain(0)));
  });

  async function listen(options: {
    bounds?: Partial<ListenerBounds>;
    answer?: Uint8Array;
    onConnectionError?: (error: Error) => void;
  }): Promise<number> {
    const { answer = Buffer.from("ok"), ...rest } = options;
    const listener = createListener({
      ...rest,
      onRequest: () => {},
      onStream(stream) {
        stream.receive({
          onData() {},
          onLast: () => stream.answer({ head: [":status", "200"], body: answer }),
          onAborted() {},
        });
        return true;
      },
    });
    listeners.push(listener);
    const address = await listener.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
    return address.kind === "tcp" ? address.port : 0;
  }

  test.each([10, 50])("the bound of %d control frames is the one that counts", async (burst) => {
    const faults: string[] = [];
    const port = await listen({
      bounds: { controlFrames: { burst, perSecond: 0 } },
      onConnectionError: (error) => faults.push(error.message),
    });
    const client = await connectRaw({ port });
    for (let sent = HELLO_FRAMES; sent < burst; sent++) await client.send(ping("x"));
    expect(client.isEnded).toBe(false);
    await client.send(ping("x"));
    expect(await client.ended).toEqual({ code: 11 });
    expect(faults).toEqual(["ENHANCE_YOUR_CALM: too many frames that carry no request"]);
  });

  test.each([3, 30])("the bound of %d resets is the one that counts", async (burst) => {
    const port = await listen({ bounds: { resets: { burst, perSecond: 0 } } });
    const client = await connectRaw({ port });
    const opened = (index: number) => [headers(1 + 2 * index, requestTo("/")), reset(1 + 2 * index)];
    for (let index = 0; index < burst; index++) await client.send(...opened(index));
    await client.roundTrip();
    await client.send(...opened(burst));
    expect(await client.ended).toEqual({ code: 11 });
  });

  test("a slow client gets its last answer whole", async () => {
    const answer = Buffer.alloc(6 * 1024 * 1024, "a");
    const port = await listen({ answer });
    const client = await connectRaw({ port, hello: helloWithWindow(2 ** 30) });
    const slowly = () => {
      client.socket.pause();
      setTimeout(() => client.socket.resume(), 20);
    };
    client.socket.on("data", slowly);
    await client.send(request(1, requestTo("/")), goaway(0));
    const { body, isWhole } = await client.answered(1);
    expect({ bytes: body.length, isWhole }).toEqual({ bytes: answer.length, isWhole: true });
  });

  test.each([0, 100])(
    "a client with a header table of %d bytes can read all answers",
    async (headerTableSize) => {
      const port = await listen({});
      const session = connect(`http://127.0.0.1:${port}`, { settings: { headerTableSize } });
      await once(session, "localSettings");
      // Answered from what was encoded before.
      const stream = session.request({ "x-large": "x".repeat(20_000) });
      const [answered] = (await once(stream, "response")) as [Record<string, unknown>];
      expect(answered[":status"]).toBe(431);
      session.destroy();
    },
  );
});
