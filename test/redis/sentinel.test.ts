import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import type { TakeAnswer } from "../../src/core/ports.ts";
import { withOutage } from "../../src/points/outage.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import { createSentinelClient } from "../../src/redis/sentinel-client.ts";
import { createSentinels, type Sentinels } from "../../src/redis/sentinels.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { freePort } from "../support/free-port.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { MASTER_NAME, type RedisSentinels, startRedisSentinels } from "../support/redis-sentinel.ts";
import { until } from "../support/until.ts";

let group: RedisSentinels;
beforeAll(async () => {
  group = await startRedisSentinels();
});
afterAll(() => group.stop());

type Told = (problem: string | undefined) => void;

async function connect({
  url = group.url,
  onReconnect = () => {},
}: {
  url?: string;
  onReconnect?: Told;
} = {}) {
  return (await createRedis(url, { onError: () => {}, onReconnect })) as Redis;
}

async function isAt(redis: Redis, { port }: RedisServer): Promise<boolean> {
  const info = await redis.info("server").catch(() => "");
  return info.includes(`tcp_port:${port}\r\n`);
}

/** Whether the server has been told to follow another one. */
async function isReplica({ url }: RedisServer): Promise<boolean> {
  const refused = await createRedis(url, { onError: () => {} }).then(
    (redis) => redis.disconnect(),
    (error: unknown) => error,
  );
  return refused instanceof TollgateError && refused.message.includes("read-only replica");
}

/**
 * Takes one after the other, each under a request_id of its own, while `disturb` runs; then asks again for
 * each. Answers how many there were, what is charged for them in the end, and who decided meanwhile.
 */
async function takeDuring(redis: Redis, disturb: () => Promise<void>) {
  const [points, budgetMs] = [1_000_000, 1000];
  const store = withOutage(createRedisBuckets(redis, { budgetMs }), { budgetMs, liveReplicas: () => 1 });
  const [charge, local] = [chargeOf({ points }), chargeOf({ points })];
  const take = (requestId: string) => store.take(takeOf(charge, { requestId }), inTime()).then(whoDecided);
  const takeLocal = () => store.take({ ...takeOf(local), onOutage: "local" }, inTime()).then(whoDecided);
  const met = new Set<string>();
  let asked = 0;
  let isOver = false;
  const load = (async () => {
    for (; !isOver; asked++) {
      const decided = [await take(`r${asked}`), await takeLocal()];
      for (const each of decided) met.add(each);
      // What is decided without Redis is decided at once, and would come to a hundred thousand takes.
      await sleep(decided.includes("store") ? 0 : 2);
    }
  })();
  try {
    await until(() => asked >= 100);
    await disturb();
  } finally {
    isOver = true;
    await load;
  }
  for (let again = 0; again < asked; again++) {
    await until(async () => (await take(`r${again}`)) === "store");
  }
  const { states } = await createRedisBuckets(redis, { budgetMs: 10_000 }).take(
    takeOf(charge, { mode: "peek" }),
    inTime(),
  );
  return { asked, charged: points - (states[0]?.remaining ?? 0), met: [...met].sort() };
}

function whoDecided({ outcome, decidedBy }: TakeAnswer): string {
  return outcome === "unavailable" ? outcome : decidedBy;
}

describe("through Sentinels takes go", () => {
  test("to the new master after the old one was killed, and stay there when that comes back; meanwhile answers are degraded", async () => {
    const [master, other] = group.servers;
    const redis = await connect();
    expect(await isAt(redis, master)).toBe(true);
    const { asked, charged, met } = await takeDuring(redis, async () => {
      await master.kill();
      await until(() => isAt(redis, other));
    });
    expect(charged).toBe(asked);
    expect(met).toEqual(["local", "store", "unavailable"]);
    const back = await takeDuring(redis, async () => {
      await master.restart();
      await until(() => isReplica(master));
    });
    expect(back.charged).toBe(back.asked);
    expect(back.met).toEqual(["store"]);
    expect(await isAt(redis, other)).toBe(true);
    redis.disconnect();
  }, 90_000);

  test("to the new master after a failover by hand, and what is asked again is charged once", async () => {
    const [replica, master] = group.servers;
    const told: (string | undefined)[] = [];
    const redis = await connect({ onReconnect: (problem) => told.push(problem) });
    expect(await isAt(redis, master)).toBe(true);
    const { asked, charged } = await takeDuring(redis, async () => {
      await group.failOver();
      await until(() => isAt(redis, replica));
    });
    expect(charged).toBe(asked);
    await until(() => told.length > 0);
    expect(new Set(told)).toEqual(new Set([undefined]));
    redis.disconnect();
  });

  test("to the new master when the old one freezes with its connections open, and the new one is looked at", async () => {
    const [master, replica] = group.servers;
    const told: (string | undefined)[] = [];
    const redis = await connect({ onReconnect: (problem) => told.push(problem) });
    expect(await isAt(redis, master)).toBe(true);
    const admin = new Redis(replica.url, { protocol: 2 });
    await admin.config("SET", "maxmemory-policy", "allkeys-lru");
    const { asked, charged } = await takeDuring(redis, async () => {
      master.pause();
      // Back to the frozen one, which the Sentinels name a little longer.
      redis.disconnect(true);
      await until(() => isAt(redis, replica));
    });
    master.resume();
    expect(charged).toBe(asked);
    await until(() => told.length > 0);
    expect(told.at(-1)).toContain("maxmemory-policy is allkeys-lru");
    await admin.config("SET", "maxmemory-policy", "noeviction");
    admin.disconnect();
    redis.disconnect();
  });
});

interface Said {
  readonly port: number | string;
  readonly epoch: number | string;
  readonly host?: string;
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const list = (...texts: readonly string[]): string => `*${texts.length}\r\n${texts.map(bulk).join("")}`;

/** Says of the master what it is told to say, as a Sentinel would. Undefined: null, that it knows none. */
async function startFakeSentinel(first: Said | undefined) {
  let said = first;
  let asked = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (bytes) => {
      for (const command of bytes.toString().match(/GET-MASTER-ADDR-BY-NAME|MASTER(?=\r)/g) ?? []) {
        asked++;
        if (said === undefined) socket.write("*-1\r\n");
        else if (command === "MASTER")
          socket.write(list("name", MASTER_NAME, "config-epoch", String(said.epoch)));
        else socket.write(list(said.host ?? "127.0.0.1", String(said.port)));
      }
    });
    socket.on("error", () => {});
  });
  const listen = async (at: number): Promise<number> => {
    server.listen(at, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const untilAsked = async (times: number): Promise<void> => {
    const before = asked;
    // Two commands each time.
    await until(() => asked >= before + 2 * times);
  };
  return {
    host: "127.0.0.1",
    port,
    /** Until it has said so, and said so again. */
    async say(next: Said | undefined): Promise<void> {
      said = next;
      await untilAsked(3);
    },
    untilAsked,
    /** Ends the connections; others are taken. */
    drop,
    close(): void {
      server.close();
      drop();
    },
    /** After `close`. */
    open: () => listen(port),
  };
}

function urlOfAll(...fakes: readonly { host: string; port: number }[]): string {
  return `redis+sentinel://${fakes.map(({ host, port }) => `${host}:${port}`).join(",")}/${MASTER_NAME}`;
}

function sentinelsOf(...hosts: readonly { host: string; port: number }[]): Sentinels {
  return createSentinels({ hosts, masterName: MASTER_NAME, user: {}, tls: undefined });
}

/** Unlike `once` of Node.js it lets errors pass meanwhile. */
async function next(redis: Redis, event: "close" | "ready"): Promise<void> {
  await new Promise<void>((resolve) => redis.once(event, () => resolve()));
}

/** Cuts all connections of clients, and waits until this one has noticed. */
async function cut(redis: Redis, { url }: RedisServer): Promise<void> {
  const admin = new Redis(url, { protocol: 2 });
  const closed = next(redis, "close");
  await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  await closed;
  admin.disconnect();
}

describe("of several Sentinels", () => {
  test("the one that knows of the latest failover is believed, whichever answers first", async () => {
    const fakes = await Promise.all([
      startFakeSentinel({ port: 1001, epoch: 3 }),
      startFakeSentinel({ port: 1003, epoch: 12 }),
      startFakeSentinel({ port: 1002, epoch: 7 }),
    ]);
    for (const hosts of [fakes, [...fakes].reverse()]) {
      const sentinels = sentinelsOf(...hosts);
      expect(await sentinels.master({ atLeast: 0 })).toMatchObject({
        host: "127.0.0.1",
        port: 1003,
        epoch: 12,
      });
      sentinels.close();
    }
    for (const fake of fakes) fake.close();
  });

  test("those whose connection was lost are waited for where the others know of no failover that late", async () => {
    const behind = await startFakeSentinel({ port: 1001, epoch: 1 });
    const knowing = await startFakeSentinel({ port: 1002, epoch: 2 });
    const sentinels = sentinelsOf(behind, knowing);
    await until(async () => (await sentinels.master({ atLeast: 2 })).epoch === 2);
    knowing.drop();
    await until(async () => (await sentinels.master({ atLeast: 0 })).epoch === 1);
    expect(await sentinels.master({ atLeast: 2 })).toMatchObject({ port: 1002, epoch: 2 });
    for (const each of [sentinels, behind, knowing]) each.close();
  });

  describe("of two servers that they may name", () => {
    let one: RedisServer;
    let other: RedisServer;
    beforeAll(async () => {
      [one, other] = await Promise.all([startRedis(), startRedis()]);
    });
    afterAll(() => Promise.all([one.stop(), other.stop()]));

    test("a connection is given up for the master of a later failover, and not of an older one that one of them names", async () => {
      const sentinel = await startFakeSentinel({ port: one.port, epoch: 5 });
      const second = await startFakeSentinel({ port: one.port, epoch: 3 });
      const redis = await connect({ url: urlOfAll(sentinel, second) });
      let closed = 0;
      redis.on("close", () => closed++);
      await sentinel.say({ port: other.port, epoch: 4 });
      expect([await isAt(redis, one), closed]).toEqual([true, 0]);
      await sentinel.say({ port: one.port, epoch: 7 });
      await sentinel.say({ port: other.port, epoch: 6 });
      expect([await isAt(redis, one), closed]).toEqual([true, 0]);
      await sentinel.say({ port: other.port, epoch: 8 });
      await until(() => isAt(redis, other));
      redis.disconnect();
      for (const fake of [sentinel, second]) fake.close();
    });

    test("an older master is followed when all of them name it, and not while one of them is silent", async () => {
      const [first, second] = [
        await startFakeSentinel({ port: one.port, epoch: 5 }),
        await startFakeSentinel({ port: one.port, epoch: 5 }),
      ];
      const redis = await connect({ url: urlOfAll(first, second) });
      let closed = 0;
      redis.on("close", () => closed++);
      second.close();
      await first.say({ port: other.port, epoch: 0 });
      expect([await isAt(redis, one), closed]).toEqual([true, 0]);
      await second.open();
      await second.say({ port: other.port, epoch: 1 });
      await until(() => isAt(redis, other));
      // From now on failovers count from there.
      await second.say({ port: one.port, epoch: 2 });
      await until(() => isAt(redis, one));
      redis.disconnect();
      for (const fake of [first, second]) fake.close();
    });

    test("one that missed a failover is not believed while those that know of it are reached again", async () => {
      const behind = await startFakeSentinel({ port: one.port, epoch: 1 });
      const knowing = await startFakeSentinel({ port: other.port, epoch: 2 });
      const redis = await connect({ url: urlOfAll(behind, knowing) });
      const store = createRedisBuckets(redis, { budgetMs: 10_000 });
      const charge = chargeOf({ points: 10, cost: 10 });
      expect((await store.take(takeOf(charge), inTime())).outcome).toBe("admitted");
      // Only its connections are lost, then it does not listen for a while either.
      for (const blip of ["connections", "all"]) {
        if (blip === "all") knowing.close();
        else knowing.drop();
        await cut(redis, other);
        const ready = next(redis, "ready");
        if (blip === "all") {
          await behind.untilAsked(2);
          await knowing.open();
        }
        await ready;
        expect(await isAt(redis, other)).toBe(true);
        expect((await store.take(takeOf(charge), inTime())).outcome).toBe("exceeded");
      }
      redis.disconnect();
      for (const fake of [behind, knowing]) fake.close();
    }, 30_000);

    test("one that missed a failover is believed when those that know of it stay away, until they are back", async () => {
      const behind = await startFakeSentinel({ port: one.port, epoch: 1 });
      const knowing = await startFakeSentinel({ port: other.port, epoch: 2 });
      const redis = await connect({ url: urlOfAll(behind, knowing) });
      knowing.close();
      await cut(redis, other);
      await next(redis, "ready");
      expect(await isAt(redis, one)).toBe(true);
      await knowing.open();
      await until(() => isAt(redis, other));
      redis.disconnect();
      for (const fake of [behind, knowing]) fake.close();
    }, 30_000);

    const nonsense: [what: string, said: Said | undefined][] = [
      ["a port that there is not", { port: 70_000, epoch: 9 }],
      ["a port that is no number", { port: "x", epoch: 9 }],
      ["no port", { port: 0, epoch: 9 }],
      ["no host", { host: "", port: 1, epoch: 9 }],
      ["an epoch that is no number", { port: 1, epoch: "NaN" }],
      ["an epoch below 0", { port: 1, epoch: -1 }],
      ["null", undefined],
    ];

    test.each(nonsense)(
      "one that names %s is passed over, and told when there is no other",
      async (_, said) => {
        const [bad, good] = [
          await startFakeSentinel(said),
          await startFakeSentinel({ port: one.port, epoch: 2 }),
        ];
        const [both, alone] = [sentinelsOf(bad, good), sentinelsOf(bad)];
        expect(await both.master({ atLeast: 0 })).toMatchObject({ port: one.port, epoch: 2 });
        await expect(alone.master({ atLeast: 0 })).rejects.toThrow(
          new RegExp(`^127\\.0\\.0\\.1:${bad.port}: it names no master that can be: `),
        );
        for (const each of [both, alone, bad, good]) each.close();
      },
    );

    test("nonsense leaves the connection alone, and the client alive that is to connect meanwhile", async () => {
      const sentinel = await startFakeSentinel({ port: one.port, epoch: 1 });
      const redis = await connect({ url: urlOfAll(sentinel) });
      let closed = 0;
      redis.on("close", () => closed++);
      for (const [, said] of nonsense) await sentinel.say(said);
      expect([await isAt(redis, one), closed]).toEqual([true, 0]);
      await cut(redis, one);
      await sentinel.say({ port: 70_000, epoch: 9 });
      expect(redis.status).toBe("connecting");
      await sentinel.say({ port: one.port, epoch: 1 });
      await until(() => isAt(redis, one));
      redis.disconnect();
      sentinel.close();
    }, 30_000);

    test("whatever throws while it connects again is told, and does not end the client", async () => {
      let port = one.port;
      const sentinels: Sentinels = {
        master: async () => ({ host: "127.0.0.1", port, epoch: 1, isUnanimous: true }),
        close: () => {},
      };
      const errors: string[] = [];
      const options = { protocol: 2, retryStrategy: () => 10 } as const;
      const redis = createSentinelClient({ sentinels, tls: undefined, options });
      redis.on("error", ({ message }) => errors.push(message));
      await redis.connect();
      port = 70_000;
      await until(() => errors.length >= 2);
      expect(errors.at(-1)).toContain("70000");
      port = one.port;
      await until(() => redis.status === "ready");
      redis.disconnect();
    });

    test("one that is silent does not hold up what the others say until it is given up", async () => {
      let closed = 0;
      const silent = createServer((socket) => {
        socket.on("data", () => {});
        socket.on("error", () => {});
        socket.on("close", () => closed++);
      });
      silent.listen(0, "127.0.0.1");
      await once(silent, "listening");
      const fake = await startFakeSentinel({ port: one.port, epoch: 1 });
      const { port } = silent.address() as AddressInfo;
      const sentinels = sentinelsOf({ host: "127.0.0.1", port }, fake);
      for (let look = 0; look < 3; look++) {
        expect(await sentinels.master({ atLeast: 1 })).toMatchObject({ port: one.port, isUnanimous: false });
      }
      expect(closed).toBe(0);
      sentinels.close();
      fake.close();
      silent.close();
    });
  });

  test("one is enough to start, and none of them keeps the process when the client is done", async () => {
    const gone = await freePort();
    const redis = await connect({ url: group.url.replace("//", `//127.0.0.1:${gone},[::1]:${gone},`) });
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    expect((await store.take(takeOf(chargeOf()), inTime())).decidedBy).toBe("store");
    const ended = once(redis, "end");
    redis.disconnect();
    await ended;
  });
});

describe("the start says what is wrong", () => {
  async function refusal(url: string, sentinelUser = {}): Promise<TollgateError> {
    const outcome = await createRedis(url, { onError: () => {}, sentinelUser }).then(
      (redis) => redis.disconnect(),
      (error: unknown) => error,
    );
    if (!(outcome instanceof TollgateError)) throw new Error("it was not refused", { cause: outcome });
    expect(outcome.message).toMatch(/^REDIS_URL /);
    expect(outcome.message).not.toContain("hidden");
    return outcome;
  }

  test("when the Sentinels know no such master", async () => {
    const error = await refusal(group.url.replace(MASTER_NAME, "0"));
    expect(error).toMatchObject({ code: "failed_precondition", reason: "REDIS_REFUSED" });
    expect(error.message).toContain("know no master of the name");
  });

  test("when no Sentinel answers, and what became of each", async () => {
    const [one, other] = [await freePort(), await freePort()];
    const error = await refusal(`redis+sentinel://me:hidden@127.0.0.1:${one},localhost:${other}/points/1`);
    expect(error).toMatchObject({ code: "unavailable", reason: "REDIS_UNREACHABLE" });
    expect(error.message).toContain("no Sentinel can be reached");
    expect(error.message).toContain(`127.0.0.1:${one}: connect ECONNREFUSED`);
    expect(error.message).toContain(`localhost:${other}: `);
  });

  test("when the Sentinels ask for a password of their own, or do not allow what is needed", async () => {
    const [port] = group.sentinelPorts;
    const sentinel = new Redis({ port, host: "127.0.0.1", protocol: 2, enableReadyCheck: false });
    const rights = ["-@all", "+sentinel|get-master-addr-by-name", "+sentinel|master"];
    await sentinel.call("ACL", "SETUSER", "tollgate", "on", ">sentinel-word", ...rights);
    await sentinel.call("ACL", "SETUSER", "useless", "on", ">sentinel-word", "-@all");
    await sentinel.call("ACL", "SETUSER", "default", "resetpass", ">another-word");
    const url = `redis+sentinel://127.0.0.1:${port}/${MASTER_NAME}`;
    for (const user of [{}, { password: "hidden" }, { username: "tollgate", password: "hidden" }]) {
      const error = await refusal(url, user);
      expect(error).toMatchObject({ code: "failed_precondition", reason: "REDIS_REFUSED" });
      expect(error.message).toContain("REDIS_SENTINEL_PASSWORD");
    }
    const useless = { username: "useless", password: "sentinel-word" };
    expect((await refusal(url, useless)).message).toContain("SENTINEL MASTER");
    const sentinelUser = { username: "tollgate", password: "sentinel-word" };
    const redis = await createRedis(url, { onError: () => {}, sentinelUser });
    expect(redis.status).toBe("ready");
    redis.disconnect();
    sentinel.disconnect();
  });
});
