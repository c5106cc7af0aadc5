import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { createDatabase } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { connectToWorker, type WorkerConnection } from "./worker-connection.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-workers-"));
const policies = join(folder, "policies");
let env: Record<string, string>;
let drop: () => Promise<void>;
let stopRedis: () => Promise<void>;
let server: TollgateProcess;
let call: JsonApi;
/** Of the server, eight of them: each worker has some. */
let connections: WorkerConnection[];

beforeAll(async () => {
  for (const name of ["retool.yaml", "retrac.yaml"]) {
    cpSync(inRepository("policies", name), join(policies, name));
  }
  const database = await createDatabase();
  drop = database.drop;
  const redis = await startRedis();
  stopRedis = redis.stop;
  env = {
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    TOLLGATE_POINTS_BUDGET: PATIENT,
    TOLLGATE_POLICIES: policies,
    TOLLGATE_WORKERS: "2",
  };
  await runTollgate(["migrate"], { env });
  server = await startTollgate({ env });
  call = createJsonApi(server.url, server.adminToken);
  await putWorld(call, "w1");
  connections = await connectEvenly(server);
}, 60_000);

afterAll(async () => {
  for (const connection of connections ?? []) connection.close();
  await server?.stop();
  await stopRedis?.();
  await drop?.();
  rmSync(folder, { recursive: true, force: true });
});

/** One after the other: who has the fewest is known then. */
async function connectEvenly(to: TollgateProcess): Promise<WorkerConnection[]> {
  const made: WorkerConnection[] = [];
  for (let index = 0; index < 8; index++) {
    const connection = connectToWorker(to);
    await replicaOf(connection);
    made.push(connection);
  }
  return made;
}

/** The id of the replica that answers, which is a worker's. */
async function replicaOf(connection: WorkerConnection): Promise<string> {
  const { body } = await succeed(connection.ask("ReplicaService/ListReplicas", {}));
  return body.replicas.find((it: { isThis: boolean }) => it.isThis).id;
}

async function liveReplicas(): Promise<string[]> {
  const { body } = await succeed(call("ReplicaService/ListReplicas", {}));
  const live = body.replicas.filter((it: { state: string }) => it.state === "REPLICA_STATE_LIVE");
  return live.map(({ id }: { id: string }) => id);
}

interface LogLine {
  readonly msg: string;
  readonly worker?: number;
  readonly pid?: number;
  readonly address?: string;
  readonly replica_id?: string;
  readonly problem?: string;
}

function logOf(of: TollgateProcess): LogLine[] {
  const lines = of.output().split("\n");
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}

/** The last process of this worker. */
function pidOf(of: TollgateProcess, worker: number): number {
  const lines = logOf(of).filter((line) => line.msg === "a worker serves" && line.worker === worker);
  return lines.at(-1)?.pid as number;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The last one that this worker was. */
function replicaOfWorker(worker: number): string {
  const lines = logOf(server).filter(
    (line) => line.msg === "this replica has begun" && line.worker === worker,
  );
  return lines.at(-1)?.replica_id as string;
}

const timesServing = (of: TollgateProcess, worker: number) =>
  logOf(of).filter((line) => line.msg === "a worker serves" && line.worker === worker).length;

function metricsUrl(of: TollgateProcess): string {
  return `http://${logOf(of).find(({ msg }) => msg === "metrics are served")?.address}`;
}

/** The samples of the service's metrics by name and labels. */
async function scrape(): Promise<Map<string, number>> {
  const text = await (await fetch(`${metricsUrl(server)}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

const peek = (key: string) => ({ api: "retool", key, permission: "users.read", mode: "MODE_PEEK" });

it("two workers serve on one port, each a replica, and each has half of the connections", async () => {
  const replicas = await Promise.all(connections.map(replicaOf));
  const live = await liveReplicas();
  expect(live).toHaveLength(2);
  expect(replicas.toSorted()).toEqual([0, 1].flatMap((index) => Array(4).fill(live.toSorted()[index])));
  expect(server.stdout().match(/tollgate ready/g)).toHaveLength(1);
  expect(server.stdout().match(/keys in Postgres/g)).toHaveLength(1);
});

it("HTTP/2 connections are spread too, and serve many calls at once", async () => {
  const { secret } = await createKey(call, { workspaceId: "w1" });
  const sessions = Array.from({ length: 4 }, () => connectHttp2(server.url));
  const answers = await Promise.all(
    sessions.flatMap((session) => Array.from({ length: 50 }, () => ask(session, "Check", peek(secret)))),
  );
  expect(answers.filter(({ allowed }) => allowed === true)).toHaveLength(200);
  for (const session of sessions) session.close();

  async function ask(session: ClientHttp2Session, method: string, message: object) {
    const stream = session.request({
      ":method": "POST",
      ":path": `/tollgate.v1.AuthorizationService/${method}`,
      "content-type": "application/json",
      authorization: `Bearer ${server.adminToken}`,
    });
    stream.end(JSON.stringify(message));
    let text = "";
    for await (const chunk of stream.setEncoding("utf8")) text += chunk;
    return JSON.parse(text);
  }
});

it("a key that is revoked through one worker is dead on both when the call answers", async () => {
  for (const revoker of connections) {
    const { secret } = await createKey(call, { workspaceId: "w1" });
    // Both have it in their caches then.
    for (const connection of connections) {
      expect((await connection.ask("Check", peek(secret))).body.allowed).toBe(true);
    }
    await succeed(revoker.ask("RevokeKey", { key: secret }));
    const answers = await Promise.all(connections.map((connection) => connection.ask("Check", peek(secret))));
    expect(answers.map(({ body }) => body.reason)).toEqual(Array(8).fill("DENY_REASON_KEY_REVOKED"));
  }
});

it("the metrics' port sums what all workers count, and tells what is a process's for each", async () => {
  const { secret } = await createKey(call, { workspaceId: "w1" });
  const name =
    'tollgate_decisions_total{api="retool",reason="SCOPE_INSUFFICIENT",degraded="",shadow_reason=""}';
  const before = (await scrape()).get(name) ?? 0;
  const check = { ...peek(secret), permission: "groups.read" };
  for (const connection of connections) await succeed(connection.ask("Check", check));
  const samples = await scrape();
  expect([...samples.keys()].filter((key) => key.includes('reason="SCOPE_INSUFFICIENT"'))).toEqual([name]);
  expect(samples.get(name)).toBe(before + 8);
  const workersOf = (metric: string) =>
    [...samples.keys()].flatMap((key) =>
      key.startsWith(`${metric}{`) ? [/worker="(\w+)"/.exec(key)?.[1]] : [],
    );
  expect(new Set(workersOf("process_cpu_seconds_total"))).toEqual(new Set(["1", "2", "supervisor"]));
  expect(new Set(workersOf("nodejs_eventloop_lag_seconds"))).toEqual(new Set(["1", "2", "supervisor"]));
  expect(new Set(workersOf("tollgate_calls_in_flight"))).toEqual(new Set(["1", "2"]));
  expect(samples.get('tollgate_change_listener_up{worker="2"}')).toBe(1);
  expect(samples.get('tollgate_workers_serving{worker="supervisor"}')).toBe(2);
  expect((await fetch(`${metricsUrl(server)}/healthz`)).status).toBe(200);
});

it("SIGHUP makes all workers load the policies", async () => {
  const loaded = (worker: number) =>
    logOf(server).filter((line) => line.msg === "policies loaded" && line.worker === worker).length;
  const before = [loaded(1), loaded(2)];
  server.process.kill("SIGHUP");
  await until(() => loaded(1) + loaded(2) >= (before[0] as number) + (before[1] as number) + 2);
  expect([loaded(1), loaded(2)]).toEqual(before.map((count) => count + 1));
});

it("a worker that is killed takes nothing with it but its own connections, and another takes its place", async () => {
  const { secret } = await createKey(call, { workspaceId: "w1" });
  const replicas = await Promise.all(connections.map(replicaOf));
  const victim = replicaOfWorker(1);
  const before = await scrape();
  let isOver = false;
  const outcomes = connections.map(async (connection, index) => {
    let answered = 0;
    while (!isOver) {
      try {
        await succeed(connection.ask("Check", peek(secret)));
        answered++;
      } catch (error) {
        return { replica: replicas[index], error, answered };
      }
    }
    return { replica: replicas[index], error: undefined, answered };
  });
  const servedBefore = timesServing(server, 1);
  process.kill(pidOf(server, 1), "SIGKILL");
  await until(() => timesServing(server, 1) > servedBefore);
  isOver = true;
  const others = (await Promise.all(outcomes)).filter(({ replica }) => replica !== victim);
  expect(others).toHaveLength(4);
  expect(others.filter(({ error, answered }) => error !== undefined || answered === 0)).toEqual([]);
  await until(async () => (await liveReplicas()).filter((id) => id !== victim).length === 2);
  const after = await scrape();
  expect(after.get('tollgate_worker_restarts_total{worker="1"}')).toBe(1);
  const fallen = [...before].filter(
    ([name, value]) =>
      /^tollgate_\w+_(total|count|sum|bucket)\b/.test(name) && (after.get(name) ?? 0) < value,
  );
  expect(fallen).toEqual([]);
  for (const connection of connections) connection.close();
  connections = await connectEvenly(server);
  expect(new Set(await Promise.all(connections.map(replicaOf))).size).toBe(2);
});

it("a worker that is told to stop alone lets its calls end, takes no more connections, and another takes its place", async () => {
  const replica = replicaOfWorker(2);
  const replicas = await Promise.all(connections.map(replicaOf));
  const own = connections.filter((_, index) => replicas[index] === replica);
  expect(own).not.toHaveLength(0);
  const begun = await Promise.all(own.map((connection) => connection.begin("ListKeys", {})));
  const servedBefore = timesServing(server, 2);
  const pid = pidOf(server, 2);
  process.kill(pid, "SIGTERM");
  await until(() => logOf(server).some(({ msg }) => msg === "a worker was told to stop"));
  const fresh = await connectEvenly(server);
  expect(await Promise.all(fresh.map(replicaOf))).not.toContain(replica);
  const answers = await Promise.all(begun.map(({ finish }) => finish()));
  expect(answers.map(({ status }) => status)).toEqual(own.map(() => 200));
  await until(() => timesServing(server, 2) > servedBefore);
  expect(isAlive(pid)).toBe(false);
  for (const connection of fresh) connection.close();
});

it("a worker that cannot start again is tried again and again, and the other serves", async () => {
  const file = join(policies, "retrac.yaml");
  const text = readFileSync(file, "utf8");
  const failures = () => logOf(server).filter(({ msg }) => msg === "a worker could not start");
  const servedBefore = timesServing(server, 2);
  writeFileSync(file, `${text}\nnonsense: true\n`);
  process.kill(pidOf(server, 2), "SIGKILL");
  await until(() => failures().length >= 2);
  expect(failures().at(-1)?.problem).toMatch(/retrac\.yaml:\d+:1: .*nonsense/);
  expect(await liveReplicas()).not.toHaveLength(0);
  expect((await fetch(`${metricsUrl(server)}/healthz`)).status).toBe(200);
  writeFileSync(file, text);
  await until(() => timesServing(server, 2) > servedBefore);
}, 60_000);

it("SIGTERM loses no request in flight on any worker, and all end", async () => {
  const own = await startTollgate({ env });
  const held = await connectEvenly(own);
  const workers = [pidOf(own, 1), pidOf(own, 2)];
  const begun = await Promise.all(held.map((connection) => connection.begin("ListKeys", {})));
  own.process.kill("SIGTERM");
  await until(async () => (await fetch(own.url).catch(() => "refused")) === "refused");
  const answers = await Promise.all(begun.map(({ finish }) => finish()));
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
  // Another signal would be a second one.
  await until(() => own.process.exitCode !== null);
  expect(own.process.exitCode).toBe(0);
  const stopped = logOf(own).filter(({ msg }) => msg === "stopped");
  expect(new Set(stopped.map(({ worker }) => worker ?? "supervisor"))).toEqual(new Set([1, 2, "supervisor"]));
  expect(stopped).toHaveLength(3);
  expect(workers.filter(isAlive)).toEqual([]);
}, 60_000);

it("a second signal cuts short what is still in flight", async () => {
  const own = await startTollgate({ env: { ...env, TOLLGATE_GRACE: "10m" } });
  const connection = connectToWorker(own);
  const { finish } = await connection.begin("ListKeys", {});
  own.process.kill("SIGTERM");
  await until(async () => (await fetch(own.url).catch(() => "refused")) === "refused");
  await until(() => {
    if (!own.output().includes("told to stop again")) own.process.kill("SIGTERM");
    return own.process.exitCode !== null;
  });
  expect(own.process.exitCode).toBe(1);
  await expect(finish()).rejects.toThrow(/ECONNRESET|socket hang up|EPIPE/);
  connection.close();
}, 60_000);

it("workers do not outlive their supervisor", async () => {
  const own = await startTollgate({ env });
  const workers = [pidOf(own, 1), pidOf(own, 2)];
  expect(workers.filter(isAlive)).toEqual(workers);
  await own.kill();
  await until(() => !workers.some(isAlive));
});

it("workers share a Unix socket, which a new supervisor takes over from a dead one", async () => {
  const path = join(folder, "tollgate.sock");
  const askHealth = () =>
    new Promise((resolve, reject) => {
      request({ socketPath: path, path: "/healthz" }, (response) => resolve(response.resume().statusCode))
        .once("error", reject)
        .end();
    });
  const first = await startTollgate({ env: { ...env, TOLLGATE_LISTEN: `unix:${path}` } });
  expect(await Promise.all(Array.from({ length: 8 }, askHealth))).toEqual(Array(8).fill(200));
  await first.kill();
  const second = await startTollgate({ env: { ...env, TOLLGATE_LISTEN: `unix:${path}` } });
  expect(await askHealth()).toBe(200);
  expect(await second.stop()).toBe(0);
}, 60_000);

describe("a start that cannot succeed is told once, as one process tells it:", () => {
  const failedStart = (change: Record<string, string>) =>
    runTollgate(["serve"], {
      env: { ...env, TOLLGATE_LISTEN: "127.0.0.1:0", TOLLGATE_METRICS_LISTEN: "off", ...change },
      mayFail: true,
    });

  it("bad policies, a schema that is not there, and a port in use", async () => {
    const bad = join(folder, "bad");
    cpSync(policies, bad, { recursive: true });
    writeFileSync(join(bad, "bad.yaml"), "api: bad\nroles: {}\nlimitz: []\n");
    const empty = await createDatabase();
    const changes = [
      { TOLLGATE_POLICIES: bad },
      { DATABASE_URL: empty.url },
      { TOLLGATE_LISTEN: new URL(server.url).host },
    ];
    for (const change of changes) {
      const one = await failedStart({ ...change, TOLLGATE_WORKERS: "1", LOG_LEVEL: "error" });
      const two = await failedStart({ ...change, TOLLGATE_WORKERS: "2", LOG_LEVEL: "error" });
      expect(one).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/^tollgate: .*\n$/s) });
      expect(two).toEqual(one);
    }
    await empty.drop();
  }, 60_000);

  it("stores that only one process has", async () => {
    const embedded = await failedStart({ DATABASE_URL: "" });
    expect(embedded).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^tollgate: TOLLGATE_WORKERS is 2, and without DATABASE_URL .*\n$/),
    });
    const counting = await failedStart({ REDIS_URL: "" });
    expect(counting).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^tollgate: TOLLGATE_WORKERS is 2, and without REDIS_URL .*\n$/),
    });
  });
});
