import { Redis } from "ioredis";
import type { HostPort, RedisUser } from "./redis-url.ts";
import { type RedisTls, tlsOptions } from "./tls-options.ts";

/** A Sentinel that does not answer for so long counts as gone; a first connection is made within it. */
const ASK_MS = 1000;

/** A Sentinel that is gone is tried again about so often. */
const RETRY_MS = 1000;

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

export interface Sentinels {
  /**
   * Where the master is, as those say that know of the latest failover, of all Sentinels that answer. One that
   * was cut off from the others, and still names the old master, is outvoted by one that was not.
   * Throws NoMaster.
   */
  master(): Promise<Master>;
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
    const [address, facts] = (await Promise.all([
      // Names the new master as soon as there is one; the facts do when the replicas have followed it.
      client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName),
      client.call("SENTINEL", "MASTER", masterName),
    ])) as [[string, string], string[]];
    const epoch = Number(facts[facts.indexOf("config-epoch") + 1]);
    return { host: address[0], port: Number(address[1]), epoch };
  }

  return {
    async master() {
      const connected = clients.filter(({ status }) => status === "ready");
      const asked = connected.length > 0 ? connected : clients;
      const outcomes = await Promise.allSettled(asked.map(ask));
      const [latest] = outcomes
        .flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []))
        .sort((a, b) => b.epoch - a.epoch);
      if (latest !== undefined) return latest;
      const told = outcomes.map((outcome, index) => {
        const { host, port } = asked[index]?.options ?? {};
        const fault = faults.get(asked[index] as Redis);
        const reason = outcome.status === "rejected" ? String(outcome.reason?.message) : "";
        return `${host}:${port}: ${fault ?? reason}`;
      });
      throw new NoMaster(told.join("; "));
    },

    close() {
      for (const client of clients) client.disconnect();
    },
  };
}
