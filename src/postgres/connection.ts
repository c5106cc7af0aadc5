import { connect as connectSocket, type Socket } from "node:net";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import type { Connection } from "./database.ts";

/**
 * One connection to Postgres: a postgres.js client with `max: 1`, for one user at a time. It is never
 * reconnected. Once closed it refuses: postgres.js by itself would run the rest of a transaction on a
 * new connection, outside of any.
 */
export interface PostgresConnection {
  readonly connection: Connection;
  readonly closed: boolean;
  /** A transaction; `lockTimeoutMs` bounds each wait for a lock. Whatever fails leaves no transaction open. */
  transaction<T>(lockTimeoutMs: number, work: (transaction: Connection) => Promise<T>): Promise<T>;
  /** At once; what runs fails, and the server rolls it back, unless it was committing. */
  destroy(): void;
  /** In order, after what runs. */
  end(): Promise<void>;
}

export interface ConnectionOptions {
  readonly applicationName: string;
  /** Which of several hosts in the URL to begin with. */
  readonly hostIndex: number;
  /** Told once, when the connection is of no further use. */
  readonly onClosed: () => void;
}

export function openConnection(url: string, options: ConnectionOptions): PostgresConnection {
  let socket: Socket | undefined;
  let sockets = 0;
  let closed = false;
  let tellClosed = (): void => {};
  const whenClosed = new Promise<void>((resolve) => {
    tellClosed = resolve;
  });

  const close = (): void => {
    if (closed) return;
    closed = true;
    socket?.destroy();
    options.onClosed();
    tellClosed();
  };

  const client = postgres(url, {
    max: 1,
    // Array types are read by drizzle; asking for them would be one more round trip a connection.
    fetch_types: false,
    max_lifetime: null,
    // The deadline of the first query bounds connecting; the timer only cleans up behind it.
    connect_timeout: 30,
    backoff: false,
    connection: { application_name: options.applicationName },
    onnotice: () => {},
    onclose: close,
    // Own sockets, so that one which hangs while connecting can be destroyed too. One a host: by itself
    // postgres.js would try for ever with a server that accepts and closes.
    socket: (parsed: { path?: string | false; host: string[]; port: number[] }) => {
      if (closed || sockets >= parsed.host.length) throw connectionClosed();
      const index = (options.hostIndex + sockets++) % parsed.host.length;
      const host = parsed.host[index] ?? "localhost";
      socket =
        typeof parsed.path === "string"
          ? connectSocket(parsed.path)
          : Object.assign(connectSocket(parsed.port[index] ?? 5432, host), { host });
      return socket;
    },
  } as postgres.Options<Record<string, never>>);

  /** What drizzle is given: refuses once closed. */
  const guarded = {
    options: client.options,
    unsafe(query: string, parameters: never[]) {
      if (closed) throw connectionClosed();
      return client.unsafe(query, parameters, planned);
    },
  };
  const connection = drizzle(guarded as unknown as postgres.Sql);

  /** Goes as one message, however many statements it holds. */
  const control = async (statements: string): Promise<unknown> => {
    if (closed) throw connectionClosed();
    return await client.unsafe(statements);
  };

  return {
    connection,
    get closed() {
      return closed;
    },
    async transaction(lockTimeoutMs, work) {
      try {
        // What follows is sent behind it at once: on a connection where this fails, nothing else is done either.
        const begun = control(
          `begin isolation level read committed read write; set local lock_timeout = ${Math.max(1, Math.ceil(lockTimeoutMs))}; set local idle_in_transaction_session_timeout = ${idleInTransactionMs}`,
        );
        const [result] = await Promise.all([work(connection), begun]);
        const { command } = (await control("commit")) as { command: string };
        // A transaction in which a statement failed answers ROLLBACK, and no error.
        if (command !== "COMMIT") throw new Error(`commit answered ${command}`);
        return result;
      } catch (error) {
        if (!closed) await control("rollback").catch(close);
        throw error;
      }
    },
    destroy: close,
    async end() {
      // A server that stands still, or is out of reach, never answers the goodbye.
      const patience = setTimeout(close, goodbyeMs);
      await Promise.race([client.end(), whenClosed]);
      clearTimeout(patience);
      close();
    },
  };
}

/** Parsed and planned once a connection, also what takes no parameters. The driver's types do not know of `simple`. */
const planned = { prepare: true, simple: false };

/** A process that stalls inside of a transaction, such as a suspended one, holds its locks no longer than this. */
const idleInTransactionMs = 5000;
const goodbyeMs = 1000;

function connectionClosed(): Error {
  return Object.assign(new Error("the connection is closed"), { code: "CONNECTION_CLOSED" });
}
