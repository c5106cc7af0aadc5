import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { residentBytes } from "../../../bench/resident-bytes.ts";
import { createJsonApi, createKey, type JsonApi, putWorld } from "../../support/json-api.ts";
import { redisUrl } from "../../support/redis.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../../support/server-process.ts";
import { until } from "../../support/until.ts";
import { checkAttacks } from "./check-attacks.ts";
import { startCheckClient } from "./check-client.ts";
import { checkBlock, checkBody } from "./check-frames.ts";
import type { GoodClient } from "./keep-asking.ts";
import { connectRaw } from "./raw-client.ts";
import { headers, lastData, reset } from "./raw-frames.ts";

/** By which the server may grow, whatever all the attacks together do. */
const MOST_GROWTH_BYTES = 256 * 1024 * 1024;
/** What all keys may spend in a minute, by the policy of Retool. */
const LIMIT = 300;

let server: TollgateProcess;
let call: JsonApi;
/** Of the key that the attackers ask for. */
let secret: string;
let good: GoodClient;
let quietBytes: number;
let port: number;

beforeAll(async () => {
  const env = { REDIS_URL: redisUrl(), TOLLGATE_POINTS_BUDGET: PATIENT };
  server = await startTollgate({ env });
  port = Number(new URL(server.url).port);
  call = createJsonApi(server.url, server.adminToken);
  await putWorld(call, "w1");
  const { secret: key } = await createKey(call, { workspaceId: "w1" });
  // Of other points: those that are reset too late are charged.
  await putWorld(call, "attacker");
  secret = (await createKey(call, { workspaceId: "attacker" })).secret;
  good = startCheckClient({ url: server.url, token: server.adminToken, key });
  await until(() => good.answers() > 1000);
  quietBytes = await residentBytes(server.pid);
});

afterAll(async () => {
  await good?.stop();
  await server?.stop();
});

const attacks = checkAttacks({ token: "", body: Buffer.alloc(0) }).map(({ name }) => name);

describe("a running service, under attack", () => {
  test.each(attacks)("answers its good client, and stays within its memory: %s", async (name) => {
    const body = checkBody({
      api: "retool",
      key: secret,
      target: { case: "http", value: { method: "GET", path: "/api/v2/users" } },
    });
    const all = checkAttacks({ token: server.adminToken, body });
    const attack = all.find((each) => each.name === name);
    if (attack === undefined) throw new Error(`no attack ${name}`);
    const before = good.answers();
    // Several at a time, as memory is of all together.
    const clients = await Promise.all(
      Array.from({ length: 4 }, () => connectRaw({ port, hello: attack.hello })),
    );
    await Promise.all(clients.map((client) => attack.run(client)));
    const ending = attack.code === undefined ? [] : clients;
    const codes = await Promise.all(ending.map(async ({ ended }) => (await ended).code));
    expect(codes).toEqual(ending.map(() => attack.code));
    expect((await residentBytes(server.pid)) - quietBytes).toBeLessThan(MOST_GROWTH_BYTES);
    expect(clients.map(({ isEnded }) => isEnded)).toEqual(clients.map(() => attack.code !== undefined));
    await Promise.all(clients.map((client) => client.close()));
    await until(() => good.answers() > before + 10);
  });
});

describe("a request that is reset", () => {
  test("in the same write is not charged; one that is not reset is", async () => {
    await putWorld(call, "reset");
    const key = (await createKey(call, { workspaceId: "reset" })).secret;
    const spent = async () => {
      const { body } = await call("PointsService/ShowPoints", { subject: { secret: key } });
      return body;
    };
    const body = checkBody({
      api: "retool",
      key,
      target: { case: "http", value: { method: "GET", path: "/api/v2/users" } },
    });
    const block = checkBlock(server.adminToken);
    const untouched = await spent();
    const client = await connectRaw({ port });
    for (let id = 1; id < 200; id += 2) await client.send(headers(id, block), lastData(id, body), reset(id));
    await client.roundTrip();
    // Asked of the same key after all of them, so behind whatever they did.
    await client.send(headers(201, block), lastData(201, body));
    expect(await client.answered(201)).toMatchObject({ status: "200", isWhole: true });
    const after = await spent();
    await client.close();
    expect(remaining(untouched)).toBe(LIMIT);
    expect(remaining(after)).toBe(LIMIT - 2);
  });
});

/** Of the limit that is called points. */
function remaining(shown: {
  limits: readonly { limitName: string; remaining: number }[];
}): number | undefined {
  return shown.limits.find(({ limitName }) => limitName === "points")?.remaining;
}
