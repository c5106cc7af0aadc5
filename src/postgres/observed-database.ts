import type { Connection, Database } from "./database.ts";

/** One use of a connection that has ended; `operation` is "query" or "transaction". */
export interface DatabaseCall {
  readonly operation: string;
  readonly failed: boolean;
  readonly durationMs: number;
}

/** The same database, whose calls are told, with the time that they waited for a connection. */
export function observed(database: Database, observe: (call: DatabaseCall) => void): Database {
  async function timed<T>(operation: string, call: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    let failed = true;
    try {
      const result = await call();
      failed = false;
      return result;
    } finally {
      observe({ operation, failed, durationMs: performance.now() - startMs });
    }
  }
  return {
    run: <T>(deadline: number, work: (connection: Connection) => Promise<T>) =>
      timed("query", () => database.run(deadline, work)),
    transaction: <T>(deadline: number, work: (connection: Connection) => Promise<T>) =>
      timed("transaction", () => database.transaction(deadline, work)),
  };
}
