// npm run test:scale [-- --keys 1000000 --cached 100000 --flood-seconds 10]: memory and CPU with many keys, what Postgres
// is asked, and what a flood of unknown keys does to others. Exits 1 where a bound is not kept.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { newSecret, secretDigest } from "../../src/core/secret.ts";
import { startReplica } from "../revocation/servers.ts";
import { createSubject, writePolicy } from "../revocation/subjects.ts";
import { type ChildServer, startChildServer } from "../support/child-server.ts";
import { createJsonApi } from "../support/json-api.ts";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { checkOf } from "./check-of.ts";

const { values } = parseArgs({
  options: {
    keys: { type: "string", default: "1000000" },
    cached: { type: "string", default: "100000" },
    "flood-seconds": { type: "string", default: "10" },
  },
});
const total = Number(values.keys);
const cached = Number(values.cached);
const floodMs = Number(values["flood-seconds"]) * 1000;

/** Keys in a BatchCheck. */
const BATCH = 100;
/** A flood may make others wait so many times as long as when it is quiet. */
const MOST_SLOWER = 3;
/** Of memory, in bytes, beyond what a garbage collection has yet to find. */
const MOST_GROWTH = 64 * 1024 * 1024;

const database = await startPostgres({ settings: { shared_preload_libraries: "pg_stat_statements" } });
const redis = await startRedis();
const sql = postgres(database.url, { max: 1, onnotice: () => {} });
const env = {
  REDIS_URL: redis.url,
  TOLLGATE_ADMIN_TOKEN: randomBytes(24).toString("hex"),
  TOLLGATE_POINTS_BUDGET: "500ms",
  TOLLGATE_POLICIES: writePolicy(),
};
await runTollgate(["migrate"], { env: { ...env, DATABASE_URL: database.url } });
const server = await startReplica({ number: 1, databaseUrl: database.url, env, isProxied: false });
const headers = { authorization: `Bearer ${env.TOLLGATE_ADMIN_TOKEN}` };
let failed = false;
try {
  await measure();
} finally {
  await server.stop();
  await sql.end();
  await Promise.all([redis.stop(), database.stop()]);
}
process.exitCode = failed ? 1 : 0;

async function measure(): Promise<void> {
  const { keyId } = await createSubject(createJsonApi(server.url, env.TOLLGATE_ADMIN_TOKEN), "w");
  const secrets = Array.from({ length: cached }, () => newSecret("revocation_"));
  const uncached = Array.from({ length: 20_000 }, () => newSecret("revocation_"));
  await addKeys(keyId, [...secrets, ...uncached]);
  await addMade(keyId, total - secrets.length - uncached.length);
  await sql`create extension pg_stat_statements`;
  const [row] = await sql<{ count: string }[]>`select count(*) from keys`;
  say("keys in Postgres", row?.count ?? "");

  const emptyBytes = residentBytes();
  await sql`select pg_stat_statements_reset()`;
  await checkAll(secrets);
  bound("queries for keys, for each key read the first time", (await keyQueries()) / cached, 1);
  const fullBytes = residentBytes();
  say(
    "resident memory before and after they were read",
    `${megabytes(emptyBytes)} and ${megabytes(fullBytes)} MB`,
  );
  say("  of each cached key", `${Math.round((fullBytes - emptyBytes) / cached)} bytes`);

  await sql`select pg_stat_statements_reset()`;
  const startTicks = cpuSeconds();
  await checkAll(secrets);
  const spent = cpuSeconds() - startTicks;
  bound("queries for keys that are cached", await keyQueries(), 0);
  say("server CPU for a Check of a batch, cached", `${((spent / cached) * 1e6).toFixed(1)} µs`);

  const good = { cached: secrets.slice(-1000), uncached };
  const quiet = {
    cached: await timed(good.cached, 1000),
    uncached: await timed(good.uncached.slice(0, 1000), 1000),
  };
  await sql`select pg_stat_statements_reset()`;
  const quietBytes = residentBytes();
  const flood = await startFlood();
  const startMs = performance.now();
  const flooded: Record<keyof typeof good, number[]> = { cached: [], uncached: [] };
  const rest = good.uncached.slice(1000);
  let earlyBytes = 0;
  while (performance.now() < startMs + floodMs) {
    flooded.cached.push(...(await timed(good.cached, 20)));
    flooded.uncached.push(...(await timed(rest.splice(0, 20), 20)));
    // What a heap takes when it is first put to work.
    if (earlyBytes === 0 && performance.now() > startMs + floodMs / 4) earlyBytes = residentBytes();
  }
  const lateBytes = residentBytes();
  const seconds = (performance.now() - startMs) / 1000;
  await flood.end("SIGTERM");
  const unknown = /asked for (\d+)/.exec(flood.stdout())?.[1] ?? "?";
  say("unknown keys asked for", `${unknown} in ${seconds.toFixed(1)} s`);
  say("  queries for keys meanwhile", await keyQueries());
  say(
    "  resident memory, before, early and at the end",
    `${[quietBytes, earlyBytes, lateBytes].map(megabytes).join(", ")} MB`,
  );
  bound("  growth between the last two, MB", megabytes(lateBytes - earlyBytes), megabytes(MOST_GROWTH));
  for (const kind of ["cached", "uncached"] as const) {
    const [before, during] = [at(quiet[kind], 0.99), at(flooded[kind], 0.99)];
    say(
      `p99 of valid keys, ${kind}, quiet and in the flood`,
      `${before.toFixed(2)} and ${during.toFixed(2)} ms`,
    );
    bound("  times as long", during / before, MOST_SLOWER);
  }
}

/** Rows like that of a key that the service made, for these secrets. */
async function addKeys(likeId: string, secrets: readonly string[]): Promise<void> {
  for (let start = 0; start < secrets.length; start += 5000) {
    const part = secrets.slice(start, start + 5000);
    const ids = part.map(() => `key_${randomBytes(12).toString("hex")}`);
    await addRows(
      likeId,
      sql`select * from unnest(${ids}::text[], ${part.map(secretDigest)}::text[]) as made (id, digest)`,
    );
  }
}

/** The same, for secrets that nobody knows. */
async function addMade(likeId: string, count: number): Promise<void> {
  await addRows(
    likeId,
    sql`select 'key_made_' || number as id, encode(sha256(number::text::bytea), 'hex') as digest
      from generate_series(1, ${count}::integer) as number`,
  );
}

async function addRows(likeId: string, made: ReturnType<typeof sql>): Promise<void> {
  await sql`insert into keys select (jsonb_populate_record(null::keys,
      to_jsonb(model) || jsonb_build_object('id', made.id, 'digest', made.digest))).*
    from (select * from keys where id = ${likeId}) as model, (${made}) as made`;
}

async function checkAll(secrets: readonly string[]): Promise<void> {
  for (let start = 0; start < secrets.length; start += BATCH) {
    const { results } = await server.client.batchCheck(
      { checks: secrets.slice(start, start + BATCH).map(checkOf) },
      { headers },
    );
    const refused = results.find(({ allowed }) => !allowed);
    if (refused !== undefined) throw new Error(`a valid key is refused: ${refused.reason}`);
  }
}

/** One after another; milliseconds each. */
async function timed(secrets: readonly string[], count: number): Promise<number[]> {
  const took: number[] = [];
  for (const secret of secrets.slice(0, count)) {
    const startMs = performance.now();
    const { allowed, reason } = await server.client.check(checkOf(secret), { headers });
    took.push(performance.now() - startMs);
    if (!allowed) throw new Error(`a valid key is refused: ${reason}`);
  }
  return took;
}

function startFlood(): Promise<ChildServer> {
  return startChildServer({
    name: "the flood",
    command: process.execPath,
    args: ["--import", "tsx", inRepository("test", "scale", "flood.process.ts")],
    env: { PATH: process.env["PATH"] ?? "", FLOOD_URL: server.url, FLOOD_TOKEN: env.TOLLGATE_ADMIN_TOKEN },
    ready: /^flooding$/,
  });
}

async function keyQueries(): Promise<number> {
  const [row] = await sql<{ calls: string }[]>`select coalesce(sum(calls), 0) as calls from pg_stat_statements
    where query ~* 'from "?keys"?' and query !~* 'insert|pg_stat'`;
  return Number(row?.calls);
}

function residentBytes(): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1]) * 1024;
}

/** Of the server process, user and system; Linux counts in hundredths of a second. */
function cpuSeconds(): number {
  const fields = readFileSync(`/proc/${server.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function at(durations: readonly number[], part: number): number {
  const sorted = [...durations].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

function say(what: string, value: string | number): void {
  process.stdout.write(`${what.padEnd(60)} ${value}\n`);
}

function bound(what: string, value: number, most: number): void {
  const isWithin = value <= most;
  failed ||= !isWithin;
  say(what, `${Number(value.toFixed(2))}${isWithin ? "" : ` (above ${most})`}`);
}
