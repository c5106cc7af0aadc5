import { connect } from "node:http2";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createKey } from "../support/json-api.ts";
import { arrivedIn, type HttpAnswer, identityIn, valuesOf } from "./envoy-answer.ts";
import {
  type AttackStage,
  bearer,
  everywhere,
  type ListenerName,
  outcome,
  startAttackStage,
} from "./envoy-attack-stage.ts";
import { exchange } from "./envoy-raw-request.ts";

let stage: AttackStage;

beforeAll(async () => {
  stage = await startAttackStage();
});

afterAll(() => stage?.stop());

afterEach(() => stage.expectNoErrors());

describe("identity", () => {
  const usersIdentity = () => ({
    "x-tollgate-key-id": [stage.users.id],
    "x-tollgate-workspace": ["w1"],
    "x-tollgate-permissions": [expect.stringMatching(/,users\.read$/)],
    "x-tollgate-locations": ["*"],
  });

  const smuggled = [
    "x-tollgate-user: root",
    "X-Tollgate-User: root",
    "X-TOLLGATE-KEY-ID: root",
    "x-tollgate-key-id: root",
    "x-tollgate-workspace: other",
    "X-Tollgate-Workspace: other",
    "x-tollgate-role: owner",
    "x-tollgate-permissions: *",
    "x-tollgate-locations:",
    "x-tollgate-something-new: root",
    "x-tollgate-: root",
  ];
  const underscored = [
    "x_tollgate_user: root",
    "X_Tollgate-Role: owner",
    "x-tollgate_workspace: other",
    "X_TOLLGATE_KEY_ID: root",
  ];

  it.each(everywhere)(
    "%s: the API is told the key's own, whatever the client says of himself",
    async (name) => {
      const answer = await stage.toRetool(name, { headers: [...smuggled, bearer(stage.users), ...smuggled] });
      expect(identityIn(arrivedIn(answer))).toEqual(usersIdentity());
    },
  );

  it.each(["open", "openRaw"] as const)("%s: nor with underscores for dashes", async (name) => {
    const answer = await stage.toRetool(name, {
      headers: [...underscored, bearer(stage.users), ...underscored],
    });
    expect(identityIn(arrivedIn(answer))).toEqual(usersIdentity());
  });

  it("the shipped configuration refuses headers with underscores", async () => {
    expect(
      (await stage.toRetool("https", { headers: [bearer(stage.users), "x_tollgate_user: root"] })).status,
    ).toBe(400);
  });

  it.each(everywhere)("%s: a preflight without a key arrives as nobody", async (name) => {
    const answer = await stage.toRetool(name, {
      line: "OPTIONS /api/v2/users HTTP/1.1",
      headers: ["Origin: https://app.test", "Access-Control-Request-Method: GET", ...smuggled],
    });
    expect(identityIn(arrivedIn(answer))).toEqual({});
  });

  it.each(everywhere)("%s: a Connection header takes none of it away", async (name) => {
    const names = "x-tollgate-key-id, x-tollgate-workspace, X-Tollgate-Locations, x-tollgate-permissions";
    const answer = await stage.toRetool(name, { headers: [bearer(stage.users), `Connection: ${names}`] });
    expect(identityIn(arrivedIn(answer))).toEqual(usersIdentity());
  });

  it.each(everywhere)(
    "%s: with as many headers as Envoy takes it arrives whole or not at all",
    async (name) => {
      const before = stage.upstream.arrived.length;
      const statuses = new Set<number>();
      for (let count = 70; count <= 100; count++) {
        const many = Array.from({ length: count }, (_, index) => `x-${index}: v`);
        statuses.add(
          (await stage.toRetool(name, { headers: [...many, "x-tollgate-user: root", bearer(stage.users)] }))
            .status,
        );
      }
      const arrived = stage.upstream.arrived.slice(before);
      expect(statuses).toEqual(new Set([200, 431, 500]));
      for (const request of arrived) expect(identityIn(request)).toEqual(usersIdentity());
    },
  );
});

describe("the credential", () => {
  it.each(everywhere)("%s: is one Authorization header with one bearer, and nothing else", async (name) => {
    const { secret } = stage.users;
    const other = "Authorization: Bearer retool_another";
    const refused: [string, string[]][] = [
      ["KEY_MISSING", []],
      ["KEY_MISSING", [`Cookie: session=${secret}; Authorization=Bearer ${secret}`]],
      ["KEY_MISSING", [`X-Api-Key: ${secret}`, `Proxy-Authorization: Bearer ${secret}`]],
      ["KEY_MISSING", ["Authorization:"]],
      ["KEY_MISSING", [`Authorization: Basic ${btoa(`${secret}:`)}`]],
      ["KEY_MALFORMED", [bearer(stage.users), bearer(stage.users)]],
      ["KEY_MALFORMED", [bearer(stage.users), other]],
      ["KEY_MALFORMED", [other, bearer(stage.users)]],
      ["KEY_MALFORMED", ["Authorization: Basic eDp5", bearer(stage.users)]],
      ["KEY_MALFORMED", [`Authorization: Bearer ${secret}, Bearer ${secret}`]],
      ["KEY_MALFORMED", [`Authorization: Bearer\t${secret}`]],
      ["KEY_MALFORMED", [`Authorization: Bearer ${secret} x`]],
      ["KEY_MALFORMED", [`Authorization: Bearer ${secret}\xff`]],
      ["KEY_MALFORMED", ["Authorization: Bearer \xff\xfe"]],
      ["KEY_MALFORMED", [`Authorization: Bearer ${"a".repeat(40_000)}`]],
      ["KEY_UNKNOWN", [bearer(stage.items)]],
    ];
    for (const [reason, headers] of refused) {
      expect(outcome(await stage.toRetool(name, { headers }))).toBe(`401 ${reason}`);
    }
    expect(
      outcome(await stage.toRetool(name, { path: `/api/v2/users?access_token=${secret}&key=${secret}` })),
    ).toBe("401 KEY_MISSING");
  });

  it.each(everywhere)("%s: may be spelt as RFC 9110 allows, and never arrives", async (name) => {
    const { secret } = stage.users;
    for (const header of [
      `AUTHORIZATION: bEARER ${secret}`,
      `authorization:Bearer ${secret}`,
      `Authorization: \t Bearer   ${secret} \t`,
    ]) {
      const arrived = arrivedIn(await stage.toRetool(name, { headers: [header] }));
      expect(valuesOf(arrived, "authorization")).toEqual([]);
      expect(JSON.stringify(arrived)).not.toContain(secret);
    }
  });

  it("of one API is none of another, whatever host and path are named", async () => {
    const asked = { headers: [bearer(stage.users)], path: "/api/v2/users" };
    expect(outcome(await stage.toRetrac("open", asked))).toBe("401 KEY_UNKNOWN");
    const absolute = {
      line: "GET https://retool.example.com/items HTTP/1.1",
      headers: [bearer(stage.items)],
    };
    expect(outcome(await stage.toRetrac("open", absolute))).toBe("401 KEY_UNKNOWN");
    expect(outcome(await stage.attack("open", asked, "other.example.com"))).toBe("404");
    expect(
      outcome(await stage.toRetool("open", { headers: ["Host: api.retrac.co", bearer(stage.users)] })),
    ).toMatch(/^40[04]/);
  });
});

describe("the connection", () => {
  const claims = [
    "X-Forwarded-Proto: https",
    "X-Forwarded-Ssl: on",
    "Front-End-Https: on",
    "Forwarded: proto=https",
  ];

  it("is not HTTPS because the client says so", async () => {
    for (const name of ["http", "openByHost"] as const) {
      expect(outcome(await stage.toRetrac(name, { headers: [bearer(stage.items), ...claims] }))).toBe(
        "403 INSECURE_TRANSPORT",
      );
      expect(
        (
          await stage.toRetrac(name, {
            line: "GET https://api.retrac.co/items HTTP/1.1",
            headers: [bearer(stage.items)],
          })
        ).status,
      ).toBe(403);
    }
  });

  it("is not HTTPS because an HTTP/2 client's :scheme says so", async () => {
    for (const name of ["http", "openByHost"] as const) {
      const claimed = { ":scheme": "https", "x-forwarded-proto": "https" };
      expect(outcome(await overHttp2(name, claimed))).toBe("403 INSECURE_TRANSPORT");
      expect(outcome(await overHttp2(name, { ":scheme": "https" }))).toBe("403 INSECURE_TRANSPORT");
    }
  });

  it("is HTTPS where a hop before Envoy, which the configuration trusts, says so", async () => {
    const headers = [bearer(stage.items), "X-Forwarded-For: 203.0.113.9"];
    const secure = await stage.toRetrac("behindHop", { headers: [...headers, "X-Forwarded-Proto: https"] });
    expect(outcome(secure)).toBe("200 /items");
    const plain = await stage.toRetrac("behindHop", { headers: [...headers, "X-Forwarded-Proto: http"] });
    expect(outcome(plain)).toBe("403 INSECURE_TRANSPORT");
    const both = await stage.toRetrac("behindHop", {
      headers: [...headers, "X-Forwarded-Proto: https, http"],
    });
    expect(outcome(both)).toBe("403 INSECURE_TRANSPORT");
  });

  it("comes from where Envoy sees it, not from where the client says", async () => {
    const far = await createKey(stage.call, { workspaceId: "w1", allowedCidrs: ["203.0.113.0/24"] });
    const near = await createKey(stage.call, { workspaceId: "w1", allowedCidrs: ["127.0.0.1/32"] });
    const says = (address: string) => [`X-Forwarded-For: ${address}`, `X-Real-Ip: ${address}`];
    for (const name of everywhere) {
      const lying = await stage.toRetool(name, { headers: [bearer(far), ...says("203.0.113.9")] });
      expect(outcome(lying)).toBe("403 ADDRESS_DENIED");
      const honest = await stage.toRetool(name, { headers: [bearer(near), ...says("203.0.113.9")] });
      expect(honest.status).toBe(200);
    }
    // Envoy tells Tollgate of the connection, and not of what a trusted hop says in a header.
    const told = await stage.toRetool("behindHop", { headers: [bearer(far), ...says("203.0.113.9")] });
    expect(outcome(told)).toBe("403 ADDRESS_DENIED");
    const line = "PROXY TCP4 203.0.113.9 127.0.0.1 4321 443\r\nGET /api/v2/users HTTP/1.1";
    expect(outcome(await stage.toRetool("proxied", { line, headers: [bearer(far)] }))).toBe(
      "200 /api/v2/users",
    );
    expect(outcome(await stage.toRetool("proxied", { line, headers: [bearer(near)] }))).toBe(
      "403 ADDRESS_DENIED",
    );
  });

  /** Asks for retrac's items over HTTP/2 without TLS. */
  function overHttp2(name: ListenerName, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const session = connect(`http://127.0.0.1:${stage.envoy.ports[name]}`);
      session.once("error", reject);
      const stream = session.request({
        ":path": "/items",
        ":authority": "api.retrac.co",
        authorization: `Bearer ${stage.items.secret}`,
        ...headers,
      });
      let status = 0;
      let body = "";
      stream.once("response", (answer) => {
        status = Number(answer[":status"]);
      });
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        body += chunk;
      });
      stream.once("error", reject);
      stream.once("end", () => {
        session.close();
        resolve({ status, headers: [], body });
      });
    });
  }
});

describe("what HTTP allows besides", () => {
  it.each(everywhere)("%s: bytes that are no UTF-8 are decided upon like any others", async (name) => {
    const junk = "\xff\xfe\xc3\x28";
    const odd = [`X-Odd: ${junk}`, `Cookie: a=${junk}`];
    expect(outcome(await stage.toRetool(name, { headers: odd }))).toBe("401 KEY_MISSING");
    expect(outcome(await stage.toRetool(name, { headers: [...odd, bearer(stage.users)] }))).toBe(
      "200 /api/v2/users",
    );
    expect((await stage.attack(name, { path: "/api/v2/users" }, `retool${junk}.example.com`)).status).toBe(
      400,
    );
    const post = { line: "POST /api/v2/users HTTP/1.1", headers: [bearer(stage.users)] };
    // Cut off by Envoy's buffer in the midst of a character, too.
    for (const body of [junk, `${"a".repeat(63)}\xc3\xa9`, junk.repeat(100)]) {
      expect(outcome(await stage.toRetool(name, { ...post, body }))).toBe("403 SCOPE_INSUFFICIENT");
    }
  });

  it("a body larger than Tollgate takes, where Envoy is told to send it, is refused", async () => {
    for (const size of [4_000_000, 4_300_000, 7_000_000, 9_000_000]) {
      const line = "POST /api/v2/groups HTTP/1.1";
      const answer = await stage.toRetool("openLarge", { line, body: "x".repeat(size) });
      expect(outcome(answer)).toBe(size < 4_194_304 ? "401 KEY_MISSING" : "503 UNDECIDED");
    }
  });

  it.each(everywhere)("%s: methods that have no route are refused", async (name) => {
    for (const method of ["TRACE", "PROPFIND", "PURGE", "DELETE", "OPTIONS"]) {
      const answer = await stage.toRetool(name, {
        line: `${method} /api/v2/users HTTP/1.1`,
        headers: [bearer(stage.users)],
      });
      expect(outcome(answer)).toBe("404 ROUTE_UNKNOWN");
    }
    const before = stage.upstream.arrived.length;
    for (const line of ["CONNECT retool.example.com:443 HTTP/1.1", "OPTIONS * HTTP/1.1"]) {
      expect(outcome(await stage.toRetool(name, { line, headers: [bearer(stage.users)] }))).toBe("404");
    }
    expect(
      (await stage.toRetool(name, { line: "get /api/v2/users HTTP/1.1", headers: [bearer(stage.users)] }))
        .status,
    ).toBe(400);
    expect(stage.upstream.arrived).toHaveLength(before);
  });

  it.each(everywhere)("%s: 64 KB of headers are refused, 50 KB are decided upon", async (name) => {
    const large = (count: number) =>
      Array.from({ length: count }, (_, index) => `x-${index}: ${"v".repeat(1_017)}`);
    expect((await stage.toRetool(name, { headers: [...large(64), bearer(stage.users)] })).status).toBe(431);
    expect(outcome(await stage.toRetool(name, { headers: large(50) }))).toBe("401 KEY_MISSING");
    expect(outcome(await stage.toRetool(name, { headers: [...large(50), bearer(stage.users)] }))).toBe(
      "200 /api/v2/users",
    );
  });

  it.each(everywhere)("%s: a WebSocket opens with a key only", async (name) => {
    const handshake = (lines: readonly string[]) =>
      exchange(stage.target(name), {
        bytes: [
          "GET /api/v2/users HTTP/1.1",
          "Host: retool.example.com",
          "Connection: Upgrade",
          "Upgrade: websocket",
          "Sec-WebSocket-Version: 13",
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
          ...lines,
          "",
          "",
        ].join("\r\n"),
        isWhole: (text) => /^HTTP\/1.1 4.*\}$|\x81\x05hello\x88/s.test(text),
      });
    const before = stage.upstream.arrived.length;
    expect(await handshake([])).toMatch(/^HTTP\/1\.1 401 .*"KEY_MISSING"/s);
    expect(stage.upstream.arrived).toHaveLength(before);
    const opened = await handshake([bearer(stage.users), "x-tollgate-user: root"]);
    expect(opened).toMatch(/^HTTP\/1\.1 101 .*\x81\x05hello\x88/s);
    expect(identityIn(stage.upstream.arrived[before] ?? { headers: [] })).toMatchObject({
      "x-tollgate-key-id": [stage.users.id],
    });
  });
});
