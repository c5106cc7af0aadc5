import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { AbstractConnector, Redis, type RedisOptions } from "ioredis";
import { reconnectDelayMs } from "./reconnect-delay.ts";
import type { Master, Sentinels } from "./sentinels.ts";
import { type RedisTls, tlsOptions } from "./tls-options.ts";

/**
 * How often the Sentinels are asked whether the master is still the one. What the old one is charged once
 * there is a new one is lost.
 */
const WATCH_MS = 250;

/** The most that an old master may take to answer what it was sent, before its connection is cut. */
const OLD_MASTER_MS = 100;

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

    async connect(tell: (event: string, error: Error) => void) {
      this.connecting = true;
      hasStream = false;
      const { host, port } = await this.find(tell);
      this.stream =
        tls === undefined
          ? createConnection({ host, port })
          : connectTls({ host, port, ...tlsOptions(tls, host) });
      this.stream.once("error", (error) => {
        this.firstError = error;
      });
      hasStream = true;
      return this.stream;
    }

    /** A connector that throws is never asked again. */
    private async find(tell: (event: string, error: Error) => void): Promise<Master> {
      for (let attempt = 1; ; attempt++) {
        const found = await sentinels.master().catch((error: Error) => error);
        if (!this.connecting) throw new Error("Connection is closed.");
        if (!(found instanceof Error)) {
          current = found;
          return found;
        }
        if (current === undefined) throw found;
        tell("error", found);
        await sleep(reconnectDelayMs(attempt));
      }
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
    const latest = await sentinels.master().catch(() => undefined);
    if (latest === undefined || known === undefined || known !== current || !isOpen()) return;
    if (latest.epoch < known.epoch) return;
    if (latest.host === known.host && latest.port === known.port) current = latest;
    else redis.disconnect(true);
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

function formatHost(master: Master | undefined): string {
  return `${master?.host}:${master?.port}`;
}
