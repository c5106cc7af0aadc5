import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/pglite";
import { storeUnavailable, TollgateError } from "../core/errors.ts";
import type { Deadline } from "../core/ports.ts";
import { settledBy } from "../core/settled-by.ts";
import { lockFolder } from "./lock.ts";

/** One connection, or one transaction on it. */
export type EmbeddedConnection = PgDatabase<PgQueryResultHKT>;

/**
 * A Postgres in this process, with its data in a folder. Fits the `Database` that the stores of
 * src/postgres run on.
 *
 * An acknowledged write survives the end of the process, kill -9 included: it stands in files that the
 * operating system has taken. It may not survive a power cut, since PGlite's WebAssembly build has no fsync.
 */
export interface EmbeddedDatabase {
  run<T>(deadline: Deadline, work: (connection: EmbeddedConnection) => Promise<T>): Promise<T>;
  transaction<T>(deadline: Deadline, work: (transaction: EmbeddedConnection) => Promise<T>): Promise<T>;
  /** After what was asked for before, leaves the folder to others. */
  close(): Promise<void>;
}

export interface EmbeddedOptions {
  /**
   * Makes the folder ready to serve: migrates, and seeds a new one. A first start that ends before this
   * has returned is begun anew by the next.
   */
  readonly prepare: (database: EmbeddedDatabase, folder: { isNew: boolean }) => Promise<void>;
  /** Calls in the queue; beyond it, RESOURCE_EXHAUSTED at once. Default 4000. */
  readonly maxWaiting?: number;
}

/**
 * Opens the folder, making it (mode 0700) where there is none. FAILED_PRECONDITION: another process has
 * it. INTERNAL: what is in it is no database, or a broken one. What `prepare` throws is thrown.
 */
export async function openEmbedded(folder: string, options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = lockFolder(folder);
  try {
    const data = join(folder, "postgres");
    // Stands until the first start is through: with it, what is in `data` is incomplete.
    const incomplete = join(folder, "postgres.incomplete");
    if (existsSync(incomplete)) rmSync(data, { recursive: true, force: true });
    const isNew = !existsSync(data);
    if (isNew) {
      writeFileSync(incomplete, "");
      mkdirSync(data, { mode: 0o700 });
    }
    chmodSync(data, 0o700);
    const client = await PGlite.create(data).catch((cause: unknown) => {
      throw new TollgateError("internal", `The database in ${data} cannot be opened.`, {
        reason: "DATA_FOLDER_UNREADABLE",
        metadata: { folder },
        cause,
      });
    });
    const database = serialised(client, { maxWaiting: options.maxWaiting ?? 4000, onClosed: lock.release });
    await options.prepare(database, { isNew }).catch(async (error: unknown) => {
      await client.close();
      throw error;
    });
    if (isNew) rmSync(incomplete);
    return database;
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** PGlite has one session: one call at a time, in the order in which they came. */
function serialised(
  client: PGlite,
  { maxWaiting, onClosed }: { maxWaiting: number; onClosed: () => void },
): EmbeddedDatabase {
  const connection: EmbeddedConnection = drizzle(client);
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  let closed: Promise<void> | undefined;

  function inTurn<T>(deadline: Deadline, work: () => Promise<T>): Promise<T> {
    if (closed !== undefined) throw storeUnavailable("postgres", new Error("the data folder is closed"));
    if (waiting >= maxWaiting) throw tooManyWaiting();
    waiting++;
    let isGivenUp = false;
    const turn = last.then(() => {
      if (isGivenUp || performance.now() >= deadline) throw missedDeadline("before its turn came");
      return work();
    });
    const settled = () => {
      waiting--;
    };
    // A failed turn is told to its caller, and does not stop the queue.
    last = turn.then(settled, settled);
    // What misses its deadline holds the queue all the same: it cannot be taken back.
    return settledBy(turn, {
      deadline,
      missed: () => missedDeadline("while it ran"),
      // A timer may fire a little before its time: what its caller was told to have failed must not begin then.
      onMissed: () => {
        isGivenUp = true;
      },
    });
  }

  return {
    run: async (deadline, work) => inTurn(deadline, () => work(connection)),
    transaction: async (deadline, work) => inTurn(deadline, () => connection.transaction(work)),
    close() {
      closed ??= last.then(() => client.close()).finally(onClosed);
      return closed;
    },
  };
}

function missedDeadline(when: string): TollgateError {
  return storeUnavailable("postgres", new Error(`the deadline passed ${when}`));
}

function tooManyWaiting(): TollgateError {
  return new TollgateError("resource_exhausted", "Too many calls wait for the database; try again later.", {
    reason: "DATABASE_BUSY",
  });
}
