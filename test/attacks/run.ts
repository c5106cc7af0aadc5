// npm run test:attacks [-- --seconds 5]: attacks a running service, one kind after the other for so many seconds each,
// and measures what a good client waits meanwhile against what it waits when it is quiet. Exits 1 where an attack's
// connection does not end as it should, memory grows above its bound, or the good client waits too long.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { residentBytes } from "../../bench/resident-bytes.ts";
import { type CheckAttack, checkAttacks } from "../http2/attacks/check-attacks.ts";
import { checkBody } from "../http2/attacks/check-frames.ts";
import { connectRaw } from "../http2/attacks/raw-client.ts";
import { createJsonApi, createKey, putWorld } from "../support/json-api.ts";
import { startRedis } from "../support/redis.ts";
import { PATIENT, startTollgate } from "../support/server-process.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "5" } } });
const attackMs = Number(values.seconds) * 1000;

/** An attack may make a good client's slowest hundredth wait so many times as long as when it is quiet. */
const MOST_SLOWER = 3;
/** By which the server may grow, whatever the attack. */
const MOST_GROWTH_BYTES = 256 * 1024 * 1024;
/** New connections of one attack. What more of them may do is for a firewall to bound. */
const CONNECTIONS_A_SECOND = 2;
/** An attack that has not ended its connection by then has failed. */
const END_MS = 30_000;

interface Measured {
  readonly count: number;
  readonly p99Ms: number;
}

const redis = await startRedis();
const server = await startTollgate({ env: { REDIS_URL: redis.url, TOLLGATE_POINTS_BUDGET: PATIENT } });
const port = Number(new URL(server.url).port);
let failed = false;
let good: ChildProcess | undefined;
try {
  await run();
} finally {
  good?.disconnect();
  await server.stop();
  await redis.stop();
}
process.exitCode = failed ? 1 : 0;

async function run(): Promise<void> {
  const call = createJsonApi(server.url, server.adminToken);
  for (const workspaceId of ["good", "attacker"]) await putWorld(call, workspaceId);
  const { secret } = await createKey(call, { workspaceId: "good" });
  const attacked = await createKey(call, { workspaceId: "attacker" });
  const body = checkBody({
    api: "retool",
    key: attacked.secret,
    target: { case: "http", value: { method: "GET", path: "/api/v2/users" } },
  });
  const child = fork(fileURLToPath(new URL("good.process.ts", import.meta.url)), {
    execArgv: ["--import", "tsx"],
    env: { ...process.env, GOOD_URL: server.url, GOOD_TOKEN: server.adminToken, GOOD_KEY: secret },
  });
  good = child;
  await once(child, "message");
  // Of what the compiler and the collector do at first.
  await after(attackMs);
  await measured(child);
  await after(2 * attackMs);
  const quiet = await measured(child);
  // The least so far: what the start took, or an attack, is given back by a later collection.
  let quietBytes = await residentBytes(server.pid);
  console.log(`quiet: p99 ${quiet.p99Ms.toFixed(2)} ms of ${quiet.count} Checks`);

  for (const attack of checkAttacks({ token: server.adminToken, body })) {
    const faults: string[] = [];
    const { connections, frames } = await attackFor(attack, faults);
    const { count, p99Ms } = await measured(child);
    const bytes = await residentBytes(server.pid);
    const grown = bytes - quietBytes;
    quietBytes = Math.min(quietBytes, bytes);
    if (p99Ms > MOST_SLOWER * quiet.p99Ms) faults.push(`p99 above ${MOST_SLOWER} times the quiet one`);
    if (grown > MOST_GROWTH_BYTES) faults.push("too much memory");
    const waits = `p99 ${p99Ms.toFixed(2)} ms of ${count} Checks`;
    const size = `${connections} connections, ${frames} frames, memory ${(grown / 2 ** 20).toFixed(0)} MiB above quiet`;
    console.log(`${attack.name}: ${waits}; ${size}`);
    for (const fault of faults) console.log(`  FAILED: ${fault}`);
    failed ||= faults.length > 0;
  }
}

/** On one connection after the other; adds to `faults` how they end otherwise than they should. */
async function attackFor(
  attack: CheckAttack,
  faults: string[],
): Promise<{ connections: number; frames: number }> {
  const endMs = performance.now() + attackMs;
  let connections = 0;
  let frames = 0;
  while (performance.now() < endMs) {
    const nextMs = performance.now() + 1000 / CONNECTIONS_A_SECOND;
    const client = await connectRaw({ port, hello: attack.hello });
    await attack.run(client);
    if (attack.code !== undefined) {
      const ending = await Promise.race([client.ended, after(END_MS)]);
      if (ending?.code !== attack.code) faults.push(`the connection ended with ${ending?.code ?? "nothing"}`);
    } else if (client.isEnded) faults.push("the connection has ended");
    await client.close();
    connections++;
    frames += client.sent;
    await after(nextMs - performance.now());
  }
  return { connections, frames };
}

async function measured(child: ChildProcess): Promise<Measured> {
  if (child.exitCode !== null) throw new Error("the good client was told something wrong");
  const answer = once(child, "message", { signal: AbortSignal.timeout(END_MS) });
  child.send("measure");
  const [message] = (await answer) as [Measured];
  return message;
}

function after(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), Math.max(0, ms)));
}
