import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { changeKinds } from "../revocation/history.ts";
import { revocationRun } from "../revocation/revocation-run.ts";
import { createJsonApi, createKey, putWorld, succeed } from "../support/json-api.ts";
import { createDatabase } from "../support/postgres.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { until } from "../support/until.ts";

// The short form of `npm run test:revocation`.
describe("no Check that began after a change had answered is allowed by what it took", () => {
  it.each([
    ["without faults", { faults: "off" as const, changes: 60, kinds: changeKinds.length }],
    ["with replicas and networks that fail", { faults: "on" as const, changes: 36, kinds: 9 }],
  ])(
    "%s",
    async (_, { kinds, ...options }) => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      const { checks, bans, violations, faults } = await revocationRun({ seed, clients: 8, ...options });
      expect({ seed, count: violations.length, first: violations.slice(0, 3) }).toEqual({
        seed,
        count: 0,
        first: [],
      });
      expect(bans).toHaveLength(options.changes);
      expect(new Set(bans.map(({ kind }) => kind)).size).toBeGreaterThanOrEqual(kinds);
      expect(Object.keys(faults).length > 0).toBe(options.faults !== "off");
      // Each replica was asked, and has allowed and refused.
      const answers = checks.map(({ process, allowed }) => `${process.split(".")[0]} ${allowed}`);
      expect([...new Set(answers)].sort()).toEqual(
        ["1", "2", "3"].flatMap((replica) => [`${replica} false`, `${replica} true`]),
      );
    },
    120_000,
  );
});

it("a replica that stood still while a key was revoked allows nothing that waits in its sockets", async () => {
  const database = await createDatabase();
  const env = { DATABASE_URL: database.url };
  await runTollgate(["migrate"], { env });
  const [still, other] = await Promise.all([startTollgate({ env }), startTollgate({ env })]);
  onTestFinished(async () => {
    still.process.kill("SIGCONT");
    await Promise.all([still.stop(), other.stop()]);
    await database.drop();
  });
  const call = createJsonApi(other.url, other.adminToken);
  await putWorld(call, "w1");
  const { id, secret } = await createKey(call, { workspaceId: "w1" });
  const connections = await Promise.all(Array.from({ length: 100 }, () => connectTo(still, secret)));
  onTestFinished(() => {
    for (const { close } of connections) close();
  });
  const answers = () => connections.flatMap((connection) => connection.answers());
  await Promise.all(connections.map(({ ask }) => ask(1)));
  await expect.poll(answers, { timeout: 10_000 }).toEqual(Array(100).fill("true"));

  // In the middle of a turn, with more connections before it that it knows to be readable.
  await Promise.all(connections.map(({ ask }) => ask(9)));
  await until(() => answers().length >= 200);
  still.process.kill("SIGSTOP");
  await expect
    .poll(() => execFileSync("ps", ["-o", "state=", "-p", String(still.pid)], { encoding: "utf8" }).trim())
    .toMatch(/^T/);
  // It answers once the lease of the one that stands still is over.
  await succeed(call("RevokeKey", { keyId: id }));
  await Promise.all(connections.map(({ ask }) => ask(1)));
  still.process.kill("SIGCONT");
  await expect.poll(() => answers().length, { timeout: 10_000 }).toBe(1100);
  expect(connections.map((connection) => connection.answers().at(-1))).toEqual(Array(100).fill("false"));
});

interface Connection {
  /** Sends the same Check so many times; once the operating system has all of them, it settles. */
  ask(times: number): Promise<void>;
  /** Whether each was allowed, in their order. */
  answers(): readonly (string | undefined)[];
  close(): void;
}

async function connectTo(server: TollgateProcess, secret: string): Promise<Connection> {
  const { hostname, port, host } = new URL(server.url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, "connect");
  let received = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    received += text;
  });
  const body = JSON.stringify({ api: "retool", key: secret, permission: "users.read", mode: "MODE_PEEK" });
  const check = [
    "POST /tollgate.v1.AuthorizationService/Check HTTP/1.1",
    `host: ${host}`,
    "content-type: application/json",
    `authorization: Bearer ${server.adminToken}`,
    `content-length: ${body.length}`,
    "",
    body,
  ].join("\r\n");
  return {
    ask: (times) =>
      new Promise((resolve, reject) => {
        socket.write(check.repeat(times), (error) => (error ? reject(error) : resolve()));
      }),
    answers: () => [...received.matchAll(/"allowed":\s*(true|false)/g)].map(([, allowed]) => allowed),
    close: () => socket.destroy(),
  };
}
