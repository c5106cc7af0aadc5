import { Redis } from "ioredis";
import type { HostPort, RedisUser } from "./redis-url.ts";
import { type RedisTls, tlsOptions } from "./tls-options.ts";

/** A Sentinel that does not answer for so long counts as gone; a first connection is made within it. */
const ASK_MS = 1000;

/** How long the others may take once one has named a master that is not older than what is known. */
const LATE_MS = 250;

/** A Sentinel that is gone is tried again about so often: within the time in which it may answer. */
const RETRY_MS = 500;

export interface SentinelsOptions {
  readonly hosts: readonly HostPort[];
  /** What they call the master. */
  readonly masterName: string;
  /** Of the Sentinels, which is not that of Redis. */
  readonly user: RedisUser;
  /** Undefined: no TLS. */
  readonly tls: RedisTls | undefined;
}

export interface Master extends HostPort {
  /** Of the failover that made it the master: a later one has a higher number. */
  readonly epoch: number;
}

export interface NamedMaster extends Master {
  /** Whether all Sentinels answered, and all named it. */
  readonly isUnanimous: boolean;
}

export interface Sentinels {
  /**
   * Where the master is, as those say that know of the latest failover, of the Sentinels that are connected. One
   * that was cut off from the others, and still names the old master, is outvoted by one that was not. Where
   * none of them knows of an epoch of `atLeast`, the others are waited for too, up to a second; what is then
   * answered may be older. Throws NoMaster.
   */
  master(options: { atLeast: number }): Promise<NamedMaster>;
  close(): void;
}

/** No Sentinel names a master. The message tells what each of them said. */
export class NoMaster extends Error {
  override readonly name = "NoMaster";
}

export function createSentinels({ hosts, masterName, user, tls }: SentinelsOptions): Sentinels {
  const faults = new Map<Redis, string>();
  const clients = hosts.map(({ host, port }) => {
    const client = new Redis({
      host,
      port,
      ...user,
      ...(tls === undefined ? {} : { tls: tlsOptions(tls, host) }),
      lazyConnect: true,
      enableReadyCheck: false,
      connectTimeout: ASK_MS,
      commandTimeout: ASK_MS,
      socketTimeout: ASK_MS,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      retryStrategy: () => RETRY_MS * (0.75 + Math.random() / 4),
      protocol: 2,
      disableClientInfo: true,
    });
    client.on("error", (error: Error) => faults.set(client, error.message));
    client.on("ready", () => faults.delete(client));
    return client;
  });

  async function ask(client: Redis): Promise<Master> {
    const [address, facts] = await Promise.all([
      // Names the new master as soon as there is one; the facts do when the replicas have followed it.
      client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName),
      client.call("SENTINEL", "MASTER", masterName),
    ]);
    return masterOf(address, facts);
  }

  /** Adds to `heard` what they say; waits for no more than is needed. */
  async function hear(
    asked: readonly Redis[],
    { heard, atLeast }: { heard: Map<Redis, Master | Error>; atLeast: number },
  ): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      const answers = asked.map(async (client) => {
        const answer = await ask(client).catch((error: Error) => error);
        heard.set(client, answer);
        if (!(answer instanceof Error) && answer.epoch >= atLeast) late ??= setTimeout(resolve, LATE_MS);
      });
      void Promise.all(answers).then(() => resolve());
    });
    clearTimeout(late);
  }

  return {
    async master({ atLeast }) {
      const heard = new Map<Redis, Master | Error>();
      await hear(
        clients.filter(({ status }) => status === "ready"),
        { heard, atLeast },
      );
      if ((latestOf(heard)?.epoch ?? -1) < atLeast) {
        await hear(
          clients.filter((client) => !heard.has(client)),
          { heard, atLeast },
        );
      }
      const latest = latestOf(heard);
      if (latest !== undefined) {
        const isUnanimous = clients.every((client) => isSame(heard.get(client), latest));
        return { ...latest, isUnanimous };
      }
      const told = clients.map((client) => {
        const { host, port } = client.options;
        const answer = heard.get(client);
        return `${host}:${port}: ${faults.get(client) ?? (answer instanceof Error ? answer.message : "")}`;
      });
      throw new NoMaster(told.join("; "));
    },

    close() {
      for (const client of clients) client.disconnect();
    },
  };
}

/** Throws for what names no master: one Sentinel's nonsense is not to outvote what the others say. */
function masterOf(address: unknown, facts: unknown): Master {
  const [host, port] = Array.isArray(address) ? (address as unknown[]) : [];
  const epoch = Array.isArray(facts) ? (facts as unknown[])[facts.indexOf("config-epoch") + 1] : undefined;
  if (typeof host === "string" && host !== "" && isNumber(port, 1, 65_535) && isNumber(epoch, 0)) {
    return { host, port: Number(port), epoch: Number(epoch) };
  }
  throw new Error(`it names no master that can be: ${JSON.stringify({ host, port, epoch })}`);
}

function isNumber(text: unknown, least: number, most = Number.MAX_SAFE_INTEGER): boolean {
  return typeof text === "string" && /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most;
}

function latestOf(heard: ReadonlyMap<Redis, Master | Error>): Master | undefined {
  const named = [...heard.values()].flatMap((answer) => (answer instanceof Error ? [] : [answer]));
  return named.sort((a, b) => b.epoch - a.epoch)[0];
}

function isSame(answer: Master | Error | undefined, { host, port }: HostPort): boolean {
  return answer !== undefined && !(answer instanceof Error) && answer.host === host && answer.port === port;
}
