import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EnvoyListener, type EnvoyProcess, startEnvoy } from "../support/envoy.ts";
import { freePort } from "../support/free-port.ts";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { startPostgres } from "../support/postgres.ts";
import { reapFolder } from "../support/reaper.ts";
import { startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { arrivedIn, type HttpAnswer, identityIn, reasonIn, valuesOf } from "./envoy-answer.ts";
import { type BrokenServer, brokenBehaviours, startBrokenServer } from "./envoy-broken-server.ts";
import { documentedYaml } from "./envoy-documentation.ts";
import { sendRaw } from "./envoy-raw-request.ts";
import { gatewayToken } from "./envoy-stage.ts";
import { startUpstream, type Upstream } from "./envoy-upstream.ts";

/** As it is shipped, and as the documentation says for those who would rather let pass. */
const listeners = {
  shipped: {},
  open: { extAuthz: documentedYaml("envoy.md", "To let requests pass while Tollgate cannot be asked") },
} satisfies Record<string, EnvoyListener>;

type Name = keyof typeof listeners;

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});

afterAll(() => upstream?.stop());

function ask(envoy: EnvoyProcess<Name>, name: Name, request: Asked = {}): Promise<HttpAnswer> {
  const { host = "retool.example.com", path = "/api/v2/users", headers = [] } = request;
  const target = { port: envoy.ports[name], scheme: "http" } as const;
  return sendRaw(target, { line: `GET ${path} HTTP/1.1`, headers: [`host: ${host}`, ...headers] });
}

interface Asked {
  readonly host?: string;
  readonly path?: string;
  readonly headers?: readonly string[];
}

/** What the API is told, and nothing else, where Envoy let a request pass that nobody has looked at. */
function expectPassedUnseen(answer: HttpAnswer): void {
  const arrived = arrivedIn(answer);
  expect(valuesOf(arrived, "x-envoy-auth-failure-mode-allowed")).toEqual(["true"]);
  expect(identityIn(arrived)).toEqual({});
}

/** Whether Tollgate had an answer, and let pass. */
function isDecided(answer: HttpAnswer): boolean {
  return (
    answer.status === 200 && valuesOf(arrivedIn(answer), "x-envoy-auth-failure-mode-allowed").length === 0
  );
}

describe("while what Envoy asks is not Tollgate", () => {
  let broken: BrokenServer;
  let envoy: EnvoyProcess<Name>;

  beforeAll(async () => {
    broken = await startBrokenServer();
    const options = { example: "envoy.yaml", token: "none", upstreamPort: upstream.port, listeners };
    envoy = await startEnvoy({ ...options, tollgatePort: broken.port });
  });

  afterAll(async () => {
    await envoy?.stop();
    broken?.stop();
  });

  it.each(Object.entries(brokenBehaviours))(
    "%s: 503, and nothing reaches the API; where Envoy is told to let pass, as nobody",
    async (_, behaviour) => {
      broken.become(behaviour);
      const before = upstream.arrived.length;
      const refused = await ask(envoy, "shipped", { headers: ["x-tollgate-user: root"] });
      expect([refused.status, refused.body]).toEqual([503, ""]);
      expect(upstream.arrived).toHaveLength(before);
      expectPassedUnseen(await ask(envoy, "open", { headers: ["x-tollgate-user: root"] }));
    },
  );

  it("nobody is there at all: likewise", async () => {
    const tollgatePort = await freePort();
    const options = { example: "envoy.yaml", token: "none", upstreamPort: upstream.port, listeners };
    const alone = await startEnvoy({ ...options, tollgatePort });
    expect((await ask(alone, "shipped")).status).toBe(503);
    expectPassedUnseen(await ask(alone, "open"));
    expect(await alone.stat("http.shipped.ext_authz.error")).toBe(1);
    expect(await alone.stat("http.open.ext_authz.failure_mode_allowed")).toBe(1);
    await alone.stop();
  });
});

describe("while Tollgate or a store of its is gone", () => {
  let postgres: Awaited<ReturnType<typeof startPostgres>>;
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let tollgate: TollgateProcess;
  let call: JsonApi;
  let envoy: EnvoyProcess<Name>;
  /** Of retool, whose policy leaves what cannot be decided to Envoy, and counts locally without Redis. */
  let lenient: Asked;
  /** Of retrac, whose policy refuses in both cases. */
  let strict: Asked;

  beforeAll(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, TOLLGATE_POINTS_BUDGET: PATIENT };
    await runTollgate(["migrate"], { env });
    tollgate = await startTollgate({ env: { ...env, TOLLGATE_POLICIES: policyFolder() } });
    call = createJsonApi(tollgate.url, tollgate.adminToken);
    await putWorld(call, "w1");
    envoy = await startEnvoy({
      example: "envoy.yaml",
      token: await gatewayToken(call),
      tollgatePort: Number(new URL(tollgate.url).port),
      upstreamPort: upstream.port,
      listeners,
    });
    const users = await createKey(call, { workspaceId: "w1", scopes: ["users.read"] });
    lenient = { headers: [`authorization: Bearer ${users.secret}`] };
    const restricted = { api: "retrac", type: "restricted", scopes: ["items.read"] };
    const items = await createKey(call, { workspaceId: "w1", ...restricted });
    strict = { host: "api.retrac.co", path: "/items", headers: [`authorization: Bearer ${items.secret}`] };
    // The first of each may take longer than Envoy waits.
    for (const asked of [lenient, strict])
      await until(async () => isDecided(await ask(envoy, "open", asked)));
  });

  afterAll(async () => {
    await envoy?.stop();
    await tollgate?.stop();
    await redis?.stop();
    await postgres?.stop();
  });

  function policyFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), "tollgate-policies-"));
    reapFolder(folder);
    const policy = (name: string) => readFileSync(inRepository("policies", `${name}.yaml`), "utf8");
    writeFileSync(join(folder, "retool.yaml"), `${policy("retool")}\non_error: gateway\n`);
    const retrac = policy("retrac").replace("https: required", "https: any");
    writeFileSync(join(folder, "retrac.yaml"), `${retrac}\non_outage: deny\n`);
    return folder;
  }

  it("nothing is gone: both pass", async () => {
    for (const name of ["shipped", "open"] as const) {
      expect(isDecided(await ask(envoy, name, lenient))).toBe(true);
      expect(isDecided(await ask(envoy, name, strict))).toBe(true);
    }
  });

  it("without Redis a policy that says so refuses with 503, the other counts by itself and says that", async () => {
    await redis.stop();
    for (const name of ["shipped", "open"] as const) {
      const refused = await ask(envoy, name, strict);
      expect(refused.status).toBe(503);
      expect(JSON.parse(refused.body)).toEqual({
        type: "about:blank",
        title: "Service Unavailable",
        status: 503,
        detail: "The rate limit cannot be checked; try again later.",
        reason: "STORE_UNAVAILABLE",
      });
      expect(valuesOf(refused, "retry-after")).toEqual(["1"]);
      expect((await ask(envoy, name, lenient)).status).toBe(200);
    }
    await until(() => envoy.output().includes('"degraded":["points_local"]'));
    await redis.restart();
    await until(async () => (await ask(envoy, "shipped", strict)).status === 200);
  });

  it("with Tollgate stopped in its tracks Envoy waits half a second and refuses, or lets pass as nobody", async () => {
    process.kill(tollgate.pid, "SIGSTOP");
    try {
      expect((await ask(envoy, "shipped", strict)).status).toBe(503);
      expectPassedUnseen(await ask(envoy, "open", strict));
    } finally {
      process.kill(tollgate.pid, "SIGCONT");
    }
    await until(async () => (await ask(envoy, "shipped", strict)).status === 200);
  });

  it("without Postgres it refuses, whatever Envoy is set to, unless the policy leaves it to Envoy", async () => {
    await postgres.stop();
    for (const name of ["shipped", "open"] as const) {
      // A decision from the cache is as good as before, for as long as the lease lasts.
      await until(async () => !isDecided(await ask(envoy, name, strict)));
      const refused = await ask(envoy, name, strict);
      expect(refused.status).toBe(503);
      expect(JSON.parse(refused.body)).toEqual({
        type: "about:blank",
        title: "Service Unavailable",
        status: 503,
        detail: "The request cannot be authorized now; try again later.",
        reason: "UNDECIDED",
      });
      expect(valuesOf(refused, "retry-after")).toEqual(["1"]);
    }
    await until(async () => !isDecided(await ask(envoy, "shipped", lenient)));
    const byEnvoy = await ask(envoy, "shipped", lenient);
    expect([byEnvoy.status, byEnvoy.body]).toEqual([503, ""]);
    expectPassedUnseen(await ask(envoy, "open", lenient));
    expect(tollgate.output()).toContain("a gateway's request could not be decided");
    await postgres.restart();
    for (const asked of [strict, lenient]) {
      await until(async () => (await ask(envoy, "shipped", asked)).status === 200);
    }
  }, 60_000);
});

describe("a mistake in Envoy's own configuration", () => {
  let tollgate: TollgateProcess;
  let call: JsonApi;

  beforeAll(async () => {
    tollgate = await startTollgate({ env: { TOLLGATE_POINTS_BUDGET: PATIENT } });
    call = createJsonApi(tollgate.url, tollgate.adminToken);
    await putWorld(call, "w1");
  });

  afterAll(() => tollgate?.stop());

  it("refuses everything, and says why in Tollgate's log", async () => {
    const extAuthz = listeners.open.extAuthz;
    const mistaken = {
      misspelt: { extAuthz, contextExtensions: { Mode: "peek" } },
      noSuchMode: { extAuthz, contextExtensions: { mode: "record" } },
      noSuchApi: { extAuthz, contextExtensions: { api: "retol" } },
    };
    const { secret } = await createKey(call, { workspaceId: "w1", scopes: ["users.read"] });
    const envoy = await startEnvoy({
      example: "envoy.yaml",
      token: await gatewayToken(call),
      tollgatePort: Number(new URL(tollgate.url).port),
      upstreamPort: upstream.port,
      listeners: mistaken,
      timeout: "5s",
    });
    for (const name of Object.keys(mistaken) as (keyof typeof mistaken)[]) {
      const line = "GET /api/v2/users HTTP/1.1";
      const headers = ["host: retool.example.com", `authorization: Bearer ${secret}`];
      const answer = await sendRaw({ port: envoy.ports[name], scheme: "http" }, { line, headers });
      expect([answer.status, reasonIn(answer)]).toEqual([503, "UNDECIDED"]);
    }
    await until(() => /"reason":"GATEWAY_MISCONFIGURED".*there is no \\"Mode\\"/.test(tollgate.output()));
    await envoy.stop();
  });

  it.each([
    ["is unknown", async () => "tgc_unknown"],
    [
      "may not check",
      async () => {
        const token = { name: "directory", grants: ["GRANT_DIRECTORY"] };
        return (await succeed(call("CallerService/CreateCallerToken", token))).body.secret as string;
      },
    ],
  ])("a token that %s is an error to Envoy, which then refuses", async (_, token) => {
    const envoy = await startEnvoy({
      example: "envoy.yaml",
      token: await token(),
      tollgatePort: Number(new URL(tollgate.url).port),
      upstreamPort: upstream.port,
      listeners: { shipped: {} },
      timeout: "5s",
    });
    const { secret } = await createKey(call, { workspaceId: "w1", scopes: ["users.read"] });
    const headers = ["host: retool.example.com", `authorization: Bearer ${secret}`];
    const target = { port: envoy.ports.shipped, scheme: "http" } as const;
    expect((await sendRaw(target, { line: "GET /api/v2/users HTTP/1.1", headers })).status).toBe(503);
    expect(await envoy.stat("http.shipped.ext_authz.error")).toBe(1);
    await envoy.stop();
  });
});

it("a flood is refused, not let through: more at once than Tollgate takes is no error to Envoy", {
  timeout: 120_000,
}, async () => {
  const tollgate = await startTollgate({
    env: { TOLLGATE_POINTS_BUDGET: PATIENT, TOLLGATE_MAX_IN_FLIGHT: "1" },
  });
  const call = createJsonApi(tollgate.url, tollgate.adminToken);
  await putWorld(call, "w1");
  const { secret } = await createKey(call, { workspaceId: "w1" });
  const envoy = await startEnvoy({
    example: "envoy.yaml",
    token: await gatewayToken(call),
    tollgatePort: Number(new URL(tollgate.url).port),
    upstreamPort: upstream.port,
    listeners,
    timeout: "5s",
  });
  const asked = { path: "/api/v2/groups", headers: [`authorization: Bearer ${secret}`] };
  // All of them stand before Tollgate before it sees the first, for which it has to look up Envoy's token.
  process.kill(tollgate.pid, "SIGSTOP");
  const asking = Array.from({ length: 30 }, () => ask(envoy, "open", asked));
  await until(async () => (await envoy.stat("cluster.tollgate.upstream_rq_active")) === asking.length);
  process.kill(tollgate.pid, "SIGCONT");
  const answers = await Promise.all(asking);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([403, 503]));
  expect(await envoy.stat("http.open.ext_authz.error")).toBe(0);
  await envoy.stop();
  await tollgate.stop();
});
