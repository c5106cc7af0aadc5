import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tellRetool } from "../../src/cli/demo-retool.ts";
import { tellRetrac } from "../../src/cli/demo-retrac.ts";
import type { EnvoyListener } from "../support/envoy.ts";
import { createKey, succeed } from "../support/json-api.ts";
import { until } from "../support/until.ts";
import { arrivedIn, identityIn, valuesOf } from "./envoy-answer.ts";
import { curl, runCurl } from "./envoy-curl.ts";
import { sendRaw } from "./envoy-raw-request.ts";
import { type EnvoyStage, startEnvoyStage } from "./envoy-stage.ts";
import { tellThroughEnvoy } from "./envoy-story.ts";
import { documentedTls } from "./envoy-tls.ts";

/** The ways in which Envoy can tell of a request. */
const forms = {
  headers: {},
  headerMap: { encode_raw_headers: true },
  body: { with_request_body: { max_request_bytes: 64, allow_partial_message: true } },
  bytes: {
    encode_raw_headers: true,
    with_request_body: { max_request_bytes: 64, allow_partial_message: true, pack_as_bytes: true },
  },
} satisfies Record<string, EnvoyListener["extAuthz"]>;

/** What a request costs is told in no header of Tollgate's. */
const virtualHosts = {
  response_headers_to_add: [
    { header: { key: "x-test-cost", value: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:cost)%" } },
  ],
};

const transportSocket = documentedTls();

function peeking(form: keyof typeof forms): EnvoyListener {
  return { extAuthz: forms[form], contextExtensions: { mode: "peek" }, virtualHosts };
}

const listeners = {
  http: {},
  https: { transportSocket, virtualHosts },
  httpHeaders: peeking("headers"),
  httpHeaderMap: peeking("headerMap"),
  httpBody: peeking("body"),
  httpBytes: peeking("bytes"),
  httpsHeaders: { ...peeking("headers"), transportSocket },
  httpsHeaderMap: { ...peeking("headerMap"), transportSocket },
  httpsBody: { ...peeking("body"), transportSocket },
  httpsBytes: { ...peeking("bytes"), transportSocket },
} satisfies Record<string, EnvoyListener>;

let stage: EnvoyStage<keyof typeof listeners>;

beforeAll(async () => {
  stage = await startEnvoyStage({ listeners });
});

afterAll(() => stage?.stop());

describe.concurrent("the stories of the demo, told by curl through every form of Envoy's question", () => {
  function options(api: "retool" | "retrac", host: string) {
    const { ports } = stage.envoy;
    return {
      api,
      host,
      tollgate: stage.tollgate,
      ports: {
        http: {
          enforcing: ports.http,
          peeking: [ports.httpHeaders, ports.httpHeaderMap, ports.httpBody, ports.httpBytes],
        },
        https: {
          enforcing: ports.https,
          peeking: [ports.httpsHeaders, ports.httpsHeaderMap, ports.httpsBody, ports.httpsBytes],
        },
      },
    };
  }

  it("retool: every rule comes back as it must", { timeout: 120_000 }, async () => {
    const scenes = await tellThroughEnvoy(tellRetool, options("retool", "retool.example.com"));
    expect(scenes.filter(({ got, want }) => got !== want)).toEqual([]);
    expect(scenes.map(({ rule }) => rule)).toEqual(expect.arrayContaining(rules("A", 11)));
  });

  it("retrac: every rule comes back as it must", { timeout: 120_000 }, async () => {
    const scenes = await tellThroughEnvoy(tellRetrac, options("retrac", "api.retrac.co"));
    expect(scenes.filter(({ got, want }) => got !== want)).toEqual([]);
    expect(scenes.map(({ rule }) => rule)).toEqual(expect.arrayContaining(rules("B", 14)));
  });

  function rules(letter: string, count: number): string[] {
    return Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
  }
});

describe("what the client gets, to the letter", () => {
  const retool = ["--header", "Host: retool.example.com"];
  const bearer = (secret: string) => ["--header", `Authorization: Bearer ${secret}`];
  const url = (path: string) => `http://127.0.0.1:${stage.envoy.ports.http}${path}`;

  /** The headers by name, with what changes from one moment to the next put aside. */
  function named(headers: readonly (readonly [string, string])[]): Record<string, string> {
    const steady = headers.filter(([name]) => !["date", "x-envoy-upstream-service-time"].includes(name));
    const answer = Object.fromEntries(steady);
    expect(Object.keys(answer)).toHaveLength(steady.length);
    return answer;
  }

  it("admitted: the API's answer, with what is left of the points", async () => {
    const { id, secret } = await createKey(stage.call, { workspaceId: "w1", scopes: ["users.read"] });
    const answer = await curl(...retool, ...bearer(secret), url("/api/v2/users?page=2"));
    expect(answer.status).toBe(200);
    expect(named(answer.headers)).toEqual({
      "content-type": "application/json",
      "content-length": String(answer.body.length),
      server: "envoy",
      "ratelimit-policy": '"points";q=300;w=60',
      ratelimit: expect.stringMatching(/^"points";r=298;t=(59|60)$/),
    });
    const arrived = arrivedIn(answer);
    expect(arrived).toMatchObject({ method: "GET", url: "/api/v2/users?page=2", bodyBytes: 0 });
    expect(identityIn(arrived)).toEqual({
      "x-tollgate-key-id": [id],
      "x-tollgate-workspace": ["w1"],
      "x-tollgate-permissions": [
        "access_requests.use,apps.use,environments.use,resource_configurations.use,resources.use,spaces.use,sso.use,user_attributes.use,user_invites.use,users.read",
      ],
      "x-tollgate-locations": ["*"],
    });
    expect(JSON.stringify(arrived)).not.toContain(secret);
  });

  it("401 without a key", async () => {
    const answer = await curl(...retool, url("/api/v2/users"));
    expect(answer.status).toBe(401);
    expect(named(answer.headers)).toEqual({
      "www-authenticate": 'Bearer realm="retool"',
      "cache-control": "no-store",
      "content-type": "application/problem+json",
      "content-length": "116",
      server: "envoy",
    });
    expect(answer.body).toBe(
      '{"type":"about:blank","title":"Unauthorized","status":401,"detail":"An API key is required.","reason":"KEY_MISSING"}',
    );
  });

  it("403 for want of a scope names the scope", async () => {
    const { secret } = await createKey(stage.call, { workspaceId: "w1", scopes: ["users.read"] });
    const answer = await curl(...retool, ...bearer(secret), url("/api/v2/groups"));
    expect(answer.status).toBe(403);
    expect(named(answer.headers)).toEqual({
      "www-authenticate":
        'Bearer realm="retool", error="insufficient_scope", error_description="The API key\'s scopes do not allow this.", scope="groups.read groups.write"',
      "cache-control": "no-store",
      "content-type": "application/problem+json",
      "content-length": String(answer.body.length),
      server: "envoy",
    });
    expect(JSON.parse(answer.body)).toEqual({
      type: "about:blank",
      title: "Forbidden",
      status: 403,
      detail: "The API key's scopes do not allow this.",
      reason: "SCOPE_INSUFFICIENT",
      required_scopes: ["groups.read", "groups.write"],
    });
  });

  it("429 once the points are used up, and during the block", async () => {
    const workspace = { directory: "retool", id: "busy", features: ["api"] };
    await succeed(stage.call("DirectoryService/PutWorkspace", { workspace }));
    const member = { directory: "retool", workspaceId: "busy", userId: "ann", role: "admin" };
    await succeed(stage.call("DirectoryService/PutMember", { member }));
    const { secret } = await createKey(stage.call, { workspaceId: "busy" });
    const statuses = await runCurl(
      ...[...retool, ...bearer(secret), "--output", "/dev/null", "--write-out", "%{http_code}\n"],
      url("/api/v2/users?page=[1-150]"),
    );
    expect(statuses.trim().split("\n")).toEqual(Array.from({ length: 150 }, () => "200"));
    for (const reason of ["POINTS_EXCEEDED", "BLOCKED"]) {
      const answer = await curl(...retool, ...bearer(secret), url("/api/v2/users"));
      expect(answer.status).toBe(429);
      expect(named(answer.headers)).toEqual({
        "ratelimit-policy": '"points";q=300;w=60',
        ratelimit: expect.stringMatching(/^"points";r=0;t=\d\d$/),
        "retry-after": expect.stringMatching(/^(5[0-9]|60)$/),
        "cache-control": "no-store",
        "content-type": "application/problem+json",
        "content-length": String(answer.body.length),
        server: "envoy",
      });
      expect(JSON.parse(answer.body)).toEqual({
        type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
        title: "Quota exceeded",
        status: 429,
        detail: expect.stringContaining("try again later"),
        reason,
        "violated-policies": ["points"],
      });
    }
  });

  it("HEAD follows GET, and is refused without a body", async () => {
    const { secret } = await createKey(stage.call, { workspaceId: "w1", scopes: ["users.read"] });
    const admitted = await curl(...retool, "--head", ...bearer(secret), url("/api/v2/users"));
    expect([admitted.status, admitted.body]).toEqual([200, ""]);
    const refused = await curl(...retool, "--head", url("/api/v2/users"));
    expect([refused.status, refused.body]).toEqual([401, ""]);
    expect(valuesOf(refused, "www-authenticate")).toEqual(['Bearer realm="retool"']);
  });

  it("a browser's preflight passes without a key, as nobody", async () => {
    const preflight = [
      "--header",
      "Origin: https://app.test",
      "--header",
      "Access-Control-Request-Method: POST",
    ];
    const answer = await curl(...retool, ...preflight, "--request", "OPTIONS", url("/api/v2/users"));
    const arrived = arrivedIn(answer);
    expect(arrived.method).toBe("OPTIONS");
    expect(identityIn(arrived)).toEqual({});
    const bare = await curl(...retool, "--request", "OPTIONS", url("/api/v2/users"));
    expect(bare.status).toBe(401);
  });

  it("a body larger than any buffer arrives whole, whichever way Envoy asks", async () => {
    const { secret } = await createKey(stage.call, { workspaceId: "w1", scopes: ["users.write"] });
    const body = Buffer.from("é".repeat(600_000)).toString("latin1");
    const { ports } = stage.envoy;
    for (const port of [ports.httpHeaders, ports.httpHeaderMap, ports.httpBody, ports.httpBytes]) {
      const answer = await sendRaw(
        { port, scheme: "http" },
        {
          line: "POST /api/v2/users HTTP/1.1",
          headers: ["host: retool.example.com", `authorization: Bearer ${secret}`],
          body,
        },
      );
      expect(arrivedIn(answer).bodyBytes).toBe(1_200_000);
    }
  });

  it("the access log tells who was let in and why not, and no secret", async () => {
    const { id, secret } = await createKey(stage.call, { workspaceId: "w1", scopes: ["users.read"] });
    await curl(...retool, ...bearer(secret), url(`/api/v2/users/logged?token=${secret}`));
    await curl(...retool, ...bearer(secret), url("/api/v2/groups/logged"));
    const lines = () =>
      stage.envoy
        .output()
        .split("\n")
        .filter((line) => line.includes("/logged"))
        .map((line) => JSON.parse(line) as object);
    await until(() => lines().length === 2);
    const common = { api: "retool", key_id: id, workspace_id: "w1", method: "GET", degraded: [] };
    expect(lines()).toEqual([
      expect.objectContaining({ ...common, status: 200, reason: "", path: "/api/v2/users/logged" }),
      expect.objectContaining({
        ...common,
        status: 403,
        reason: "SCOPE_INSUFFICIENT",
        details: "ext_authz_denied",
      }),
    ]);
    expect(stage.envoy.output()).not.toContain(secret);
  });
});
