import postgres from "postgres";
import { storeUnavailable, TollgateError } from "../core/errors.ts";
import type { Deadline } from "../core/ports.ts";
import { msUntil, settledBy } from "../core/settled-by.ts";
import { openConnection, type PostgresConnection } from "./connection.ts";
import type { Database } from "./database.ts";

export interface PostgresOptions {
  /** How many at most; default 10. */
  readonly connections?: number;
  /** How many calls may wait for one; beyond it, RESOURCE_EXHAUSTED at once. Default 4000. */
  readonly maxWaiting?: number;
  /** Shown in pg_stat_activity; default "tollgate". */
  readonly applicationName?: string;
}

export interface PostgresDatabase extends Database {
  /** Waits for what runs, then closes all connections. */
  close(): Promise<void>;
}

/**
 * Postgres over the network. Each call has a connection to itself, so that one which misses its
 * deadline closes only its own: a query is never cancelled, because a COMMIT that was cancelled while it
 * waits for a standby answers success. Connections are opened when they are needed and replaced when
 * they break.
 *
 * Throws for a URL that cannot be read; opens no connection.
 */
export function createPostgresDatabase(url: string, options: PostgresOptions = {}): PostgresDatabase {
  checkUrl(url);
  const { connections = 10, maxWaiting = 4000, applicationName = "tollgate" } = options;
  const idle: PostgresConnection[] = [];
  const all = new Set<PostgresConnection>();
  const waiting = new Set<Waiter>();
  let opened = 0;
  let closing = false;

  function open(): PostgresConnection {
    const connection = openConnection(url, {
      applicationName,
      hostIndex: opened++,
      onClosed: () => {
        all.delete(connection);
        const position = idle.indexOf(connection);
        if (position !== -1) idle.splice(position, 1);
        serveNext();
      },
    });
    all.add(connection);
    return connection;
  }

  function acquire(deadline: Deadline): PostgresConnection | Promise<PostgresConnection> {
    if (closing) throw storeUnavailable("postgres", new Error("the pool is closed"));
    if (performance.now() >= deadline) throw missedDeadline("before a connection was asked for");
    const connection = idle.pop();
    if (connection !== undefined) return connection;
    if (all.size < connections) return open();
    if (waiting.size >= maxWaiting) throw tooManyWaiting();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        serve: (served) => {
          clearTimeout(timer);
          resolve(served);
        },
      };
      const timer = setTimeout(() => {
        waiting.delete(waiter);
        reject(missedDeadline("while waiting for a connection"));
      }, msUntil(deadline));
      waiting.add(waiter);
    });
  }

  function release(connection: PostgresConnection): void {
    if (connection.closed) return;
    idle.push(connection);
    serveNext();
  }

  function serveNext(): void {
    const [waiter] = waiting;
    if (waiter === undefined) return;
    const connection = idle.pop() ?? (all.size < connections ? open() : undefined);
    if (connection === undefined) return;
    waiting.delete(waiter);
    waiter.serve(connection);
  }

  /** Runs `work` on a connection of its own, which is closed when the deadline passes before it settles. */
  async function use<T>(
    deadline: Deadline,
    work: (connection: PostgresConnection) => Promise<T>,
  ): Promise<T> {
    const connection = await acquire(deadline);
    try {
      return await settledBy(work(connection), {
        deadline,
        missed: () => missedDeadline("while a query ran"),
        onMissed: () => connection.destroy(),
      });
    } finally {
      release(connection);
    }
  }

  return {
    run: (deadline, work) => use(deadline, ({ connection }) => work(connection)),
    transaction: (deadline, work) =>
      use(deadline, (connection) => connection.transaction(msUntil(deadline), work)),
    async close() {
      closing = true;
      await Promise.all([...all].map((connection) => connection.end()));
    },
  };
}

interface Waiter {
  readonly serve: (connection: PostgresConnection) => void;
}

/** Tells nothing of the URL, which holds a password. */
function checkUrl(url: string): void {
  if (/^postgres(ql)?:\/\//.test(url)) {
    try {
      postgres(url, { max: 1 });
      return;
    } catch {
      // Told below: the driver's message repeats the URL.
    }
  }
  throw new TollgateError(
    "invalid_argument",
    "DATABASE_URL is not of the form postgres://user:password@host:5432/database.",
    { reason: "DATABASE_URL_INVALID" },
  );
}

function missedDeadline(when: string): TollgateError {
  return storeUnavailable("postgres", new Error(`the deadline passed ${when}`));
}

function tooManyWaiting(): TollgateError {
  return new TollgateError("resource_exhausted", "Too many calls wait for the database; try again later.", {
    reason: "DATABASE_BUSY",
  });
}
