import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { createListener, type Listener, type RequestHandler } from "../../src/http2/listener.ts";
import { goProgram, INSTALL_TIMEOUT_MS } from "../support/go-programs.ts";
import { createAuthority } from "../support/redis-certificates.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { ENGINES, type Engine, engineArgs } from "./engines.ts";
import { H2SPEC_TIMEOUT_MS, type H2specOptions, h2specFailures } from "./h2spec.ts";

/** What is known to be wrong with node:http2: some of it, which one depends on Node's version. */
const knownOfNode: readonly string[] = [
  "http2/5.1 #8: closed: Sends a DATA frame after sending RST_STREAM frame",
  "http2/5.1 #9: closed: Sends a HEADERS frame after sending RST_STREAM frame",
  "http2/5.1 #11: closed: Sends a DATA frame",
  "http2/5.1 #12: closed: Sends a HEADERS frame",
  "http2/5.1.1 #2: Sends stream identifier that is numerically smaller than previous",
  "http2/5.3.1 #2: Sends PRIORITY frame that depend on itself",
  "http2/6.3 #1: Sends a PRIORITY frame with 0x0 stream identifier",
  "http2/6.7 #2: Sends a PING frame with ACK",
  "http2/6.9.1 #2: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1",
  "http2/6.9.1 #3: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream",
];

beforeAll(async () => {
  await goProgram.h2spec();
}, INSTALL_TIMEOUT_MS);

/** Node 20's never hears that a client is gone to whom it has just told an error, and keeps its connection. */
const LETTING_GO = ENGINES.filter((engine) => engine !== "node");

let server: TollgateProcess | undefined;

afterEach(async () => {
  await server?.kill();
  server = undefined;
});

/** With no end to its grace, so that it stops only when no connection is left. */
async function start(engine: Engine): Promise<{ server: TollgateProcess; port: number }> {
  server = await startTollgate({ args: engineArgs[engine], env: { TOLLGATE_GRACE: "1h" } });
  return { server, port: Number(new URL(server.url).port) };
}

/**
 * Answers when a request is whole. An answer before that ends it (RFC 9113 8.1), and what h2spec sends wrong after it is
 * no fault any more.
 */
const answerWhole: RequestHandler = (request, response) => {
  request.resume();
  request.once("end", () => (response as ServerResponse).end("whole"));
};

async function startListener(
  transport: H2specOptions["transport"],
): Promise<{ listener: Listener; port: number }> {
  const { cert, key } = createAuthority().sign("DNS:localhost,IP:127.0.0.1");
  const identity = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  const listener = createListener({
    onRequest: answerWhole,
    tls: transport === "tls" ? identity : undefined,
  });
  const bound = await listener.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  return { listener, port: bound.kind === "tcp" ? bound.port : 0 };
}

describe("h2spec, strict", () => {
  test.each(["cleartext", "tls"] as const)(
    "finds nothing wrong with the HTTP/2 of tollgate (%s), which leaves no connection behind",
    async (transport) => {
      const { listener, port } = await startListener(transport);
      expect(await h2specFailures({ port, transport })).toEqual([]);
      await listener.drain(H2SPEC_TIMEOUT_MS);
    },
    H2SPEC_TIMEOUT_MS,
  );

  test(
    "finds nothing wrong with the HTTP/2 of node, but for what is known",
    async () => {
      const { port } = await start("node");
      const failures = await h2specFailures({ port, transport: "cleartext" });
      expect(failures.filter((failure) => !knownOfNode.includes(failure))).toEqual([]);
    },
    H2SPEC_TIMEOUT_MS,
  );

  test.each(LETTING_GO)(
    "leaves no connection behind in the HTTP/2 of %s",
    async (engine) => {
      const { server, port } = await start(engine);
      await h2specFailures({ port, transport: "cleartext" });
      expect(await server.stop()).toBe(0);
    },
    H2SPEC_TIMEOUT_MS,
  );
});
