import { Redis } from "ioredis";
import postgres from "postgres";

/** What a server's stores have done so far; the difference of two says what a run did. */
export interface StoreCounts {
  readonly redisCommands: number | undefined;
  /** Whatever for: also leases and last-use times. */
  readonly postgresStatements: number | undefined;
  /** Of these, reads of keys, workspaces, members and caller tokens: what a cache is to save. */
  readonly recordReads: number | undefined;
}

export interface StoreCounter {
  read(): Promise<StoreCounts>;
  /** Every statement that Postgres has run since `forget`, most called first. */
  statements(): Promise<{ query: string; calls: number }[]>;
  forget(): Promise<void>;
  close(): Promise<void>;
}

/** Counts in stores that serve nobody but the server under measurement. Postgres needs pg_stat_statements. */
export async function createStoreCounter(stores: {
  redisUrl: string | undefined;
  postgresUrl: string | undefined;
}): Promise<StoreCounter> {
  const redis = stores.redisUrl === undefined ? undefined : new Redis(stores.redisUrl);
  const sql =
    stores.postgresUrl === undefined
      ? undefined
      : postgres(stores.postgresUrl, { max: 1, onnotice: () => {} });
  if (sql !== undefined) await sql`CREATE EXTENSION IF NOT EXISTS pg_stat_statements`;
  const statements = async () => {
    if (sql === undefined) return [];
    // What we ask ourselves is not the server's doing.
    const rows = await sql<{ query: string; calls: string }[]>`
      SELECT query, sum(calls)::text AS calls FROM pg_stat_statements
      WHERE query NOT ILIKE '%pg_stat_statements%' GROUP BY query ORDER BY sum(calls) DESC, query`;
    return rows.map(({ query, calls }) => ({
      query: query.replace(/\s+/g, " ").trim(),
      calls: Number(calls),
    }));
  };
  return {
    statements,
    async read() {
      const redisCommands = redis === undefined ? undefined : countCommands(await redis.info("commandstats"));
      if (sql === undefined) return { redisCommands, postgresStatements: undefined, recordReads: undefined };
      const ran = await statements();
      return {
        redisCommands,
        postgresStatements: sumOfCalls(ran),
        recordReads: sumOfCalls(ran.filter(({ query }) => readsRecords(query))),
      };
    },
    async forget() {
      if (sql !== undefined) await sql`SELECT pg_stat_statements_reset()`;
    },
    async close() {
      await sql?.end();
      await redis?.quit();
    },
  };
}

function sumOfCalls(statements: readonly { calls: number }[]): number {
  return statements.reduce((sum, { calls }) => sum + calls, 0);
}

/** Whether a statement, as pg_stat_statements shows it, looks up what a decision is made of. */
export function readsRecords(query: string): boolean {
  return /^select\b.*\bfrom "?(keys|workspaces|members|caller_tokens)\b/i.test(query);
}

const scriptCommands = new Set(["eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro"]);
/** What drivers, and we, send besides. */
const housekeeping = new Set([
  "auth",
  "client",
  "config",
  "hello",
  "info",
  "ping",
  "script",
  "select",
  "time",
]);

/**
 * Commands that clients sent, from `INFO commandstats`. It also lists what scripts call inside, so that of
 * a server that works by scripts only these count.
 */
export function countCommands(commandStats: string): number {
  let scripts = 0;
  let others = 0;
  for (const [, name = "", calls] of commandStats.matchAll(/^cmdstat_([^:|]+)[^:]*:calls=(\d+)/gm)) {
    if (scriptCommands.has(name)) scripts += Number(calls);
    else if (!housekeeping.has(name)) others += Number(calls);
  }
  return scripts > 0 ? scripts : others;
}
