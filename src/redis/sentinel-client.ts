import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { AbstractConnector, Redis, type RedisOptions } from "ioredis";
import { reconnectDelayMs } from "./reconnect-delay.ts";
import type { Master, NamedMaster, Sentinels } from "./sentinels.ts";
import { type RedisTls, tlsOptions } from "./tls-options.ts";

/**
 * How often the Sentinels are asked whether the master is still the one. What the old one is charged once
 * there is a new one is lost.
 */
const WATCH_MS = 250;

/** The most that an old master may take to answer what it was sent, before its connection is cut. */
const OLD_MASTER_MS = 100;

/**
 * How long a lost connection is not made to a master of an older failover, while the Sentinels that know of the
 * later one do not answer. Longer than they take to be reached again after a short fault of the network.
 */
const OLDER_MS = 3000;

/** The driver's; one of them would change what replies look like. */
export type ClientOptions = Omit<RedisOptions, "replyMapping">;

export interface SentinelClientOptions {
  readonly sentinels: Sentinels;
  /** Undefined: no TLS. */
  readonly tls: RedisTls | undefined;
  /** All but where to connect. */
  readonly options: ClientOptions;
}

/**
 * A client of the master that the Sentinels name, when it connects and from then on: a connection to a server
 * that no longer is it ends, also one that the server itself keeps open (frozen, or cut off from the
 * Sentinels). While there is no master to be found it goes on looking; only the first connection fails then.
 *
 * The driver's own connector is not used: it believes the first Sentinel that answers, leaves its master
 * only when that closes the connection or refuses to write (or, told to listen to the Sentinels, when
 * they switch any master), and calls every round through the Sentinels an error.
 */
export function createSentinelClient({ sentinels, tls, options }: SentinelClientOptions): Redis {
  let current: Master | undefined;
  /** Connected, or on the way there: to `current`. */
  let hasStream = false;

  class MasterConnector extends AbstractConnector {
    constructor() {
      super(OLD_MASTER_MS);
    }

    override check({ role }: { role?: string }): boolean {
      // Where INFO is not allowed there is none; the start refuses that.
      if (role === undefined || role === "master") return true;
      redis.emit("error", new Error(`${formatHost(current)} is not the master that the Sentinels call it`));
      return false;
    }

    /** One that throws is never asked again: so it does only at first, and when the client is done. */
    async connect(tell: (event: string, error: Error) => void) {
      this.connecting = true;
      hasStream = false;
      const known = current;
      const startMs = performance.now();
      for (let attempt = 1; ; attempt++) {
        try {
          const found = await sentinels.master({ atLeast: known?.epoch ?? 0 });
          if (!this.connecting) break;
          if (isOutdated(found, known) && performance.now() - startMs < OLDER_MS) {
            throw new Error(
              `${formatHost(found)} is the master of an older failover; others may know better`,
            );
          }
          return this.open(found);
        } catch (error) {
          if (!this.connecting) break;
          if (known === undefined) throw error;
          tell("error", error as Error);
        }
        await sleep(reconnectDelayMs(attempt));
      }
      throw new Error("Connection is closed.");
    }

    private open(master: Master) {
      const { host, port } = master;
      this.stream =
        tls === undefined
          ? createConnection({ host, port })
          : connectTls({ host, port, ...tlsOptions(tls, host) });
      this.stream.once("error", (error) => {
        this.firstError = error;
      });
      current = master;
      hasStream = true;
      return this.stream;
    }
  }

  let watch: NodeJS.Timeout | undefined;
  let isOver = false;
  const end = (): void => {
    isOver = true;
    clearTimeout(watch);
    sentinels.close();
  };

  class SentinelClient extends Redis {
    /** Where it is not to come back, the Sentinels are not needed any more. */
    override disconnect(reconnect?: boolean): void {
      if (reconnect !== true) end();
      super.disconnect(reconnect);
    }
  }

  const redis = new SentinelClient({
    ...options,
    ...(tls === undefined ? {} : { tls: tlsOptions(tls) }),
    Connector: MasterConnector,
    lazyConnect: true,
  });

  async function look(): Promise<void> {
    if (!isOpen()) return;
    const known = current;
    if (known === undefined) return;
    const latest = await sentinels.master({ atLeast: known.epoch }).catch(() => undefined);
    if (latest === undefined || known !== current || !isOpen() || isOutdated(latest, known)) return;
    // Also before it is connected to: from here on nobody is believed who does not know of it.
    current = latest;
    if (latest.host !== known.host || latest.port !== known.port) redis.disconnect(true);
  }

  /** Also while a server that is frozen, or gone, lets us wait for it. */
  function isOpen(): boolean {
    return hasStream && ["connecting", "connect", "ready"].includes(redis.status);
  }

  const watchOn = (): void => {
    if (!isOver) watch = setTimeout(() => void look().finally(watchOn), WATCH_MS);
  };
  redis.once("ready", watchOn);
  redis.on("end", end);
  return redis;
}

/** Epochs begin anew where Sentinels are set up anew: then all of them say so. */
function isOutdated(found: NamedMaster, known: Master | undefined): boolean {
  return known !== undefined && found.epoch < known.epoch && !found.isUnanimous;
}

function formatHost(master: Master | undefined): string {
  return `${master?.host}:${master?.port}`;
}
