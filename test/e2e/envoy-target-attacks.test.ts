import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createKey } from "../support/json-api.ts";
import { arrivedIn, identityIn } from "./envoy-answer.ts";
import { type AttackStage, bearer, everywhere, outcome, startAttackStage } from "./envoy-attack-stage.ts";
import { pathReadings } from "./envoy-path-readings.ts";

let stage: AttackStage;
/** May all that ann may; of retrac. */
let full: { readonly secret: string };

beforeAll(async () => {
  stage = await startAttackStage();
  const fullAccess = { api: "retrac", type: "full_access", scopes: [] };
  full = await createKey(stage.call, { workspaceId: "w1", ...fullAccess });
});

afterAll(() => stage?.stop());

afterEach(() => stage.expectNoErrors());

describe("paths", () => {
  const long = "a".repeat(8_000);
  /** As sent; and where Envoy normalises, which decides what Tollgate and the API see. */
  const outcomes: [path: string, asSent: string, normalised: string][] = [
    ["/items", "200 /items", "200 /items"],
    ["/items?/../tags", "200 /items?/../tags", "200 /items?/../tags"],
    ["/items?x=%2f..%2ftags", "200 /items?x=%2f..%2ftags", "200 /items?x=%2f..%2ftags"],
    [`/items/${long}`, `200 /items/${long}`, `200 /items/${long}`],
    ["https://api.retrac.co/items", "200 /items", "200 /items"],
    ["https://api.retrac.co:443/items", "200 /items", "200 /items"],
    ["https://api.retrac.co/tags", "403 SCOPE_INSUFFICIENT", "403 SCOPE_INSUFFICIENT"],
    ["https://api.retrac.co/items/../tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["https://api.retrac.co", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items/", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items/../tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/../../tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/./../tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/..", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/./items", "404 ROUTE_UNKNOWN", "200 /items"],
    ["/tags/../items", "404 ROUTE_UNKNOWN", "200 /items"],
    ["//items", "404 ROUTE_UNKNOWN", "200 /items"],
    ["//tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items//1", "404 ROUTE_UNKNOWN", "200 /items/1"],
    ["/items/%2e%2e/tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/%2E%2e/tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/.%2e/tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/%252e%252e/tags", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items/%c0%ae%c0%ae/tags", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items/..%2ftags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items%2f..%2ftags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/a%2fb", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items/..%5ctags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/..\\tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items\\..\\tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items;x=1", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items/..;/tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items;/../tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/Items", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/%69tems", "404 ROUTE_UNKNOWN", "200 /items"],
    ["/items%3f", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items%3fworkspaceId=w1", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/tags%3f/../items", "404 ROUTE_UNKNOWN", "200 /items"],
    ["/items/%3f/../../tags", "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items/%", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items/%zz", "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    ["/items/%00", "404 ROUTE_UNKNOWN", "400"],
    [`/items/${long.repeat(2)}`, "404 ROUTE_UNKNOWN", "404 ROUTE_UNKNOWN"],
    [`/items/${"../".repeat(2_700)}tags`, "404 ROUTE_UNKNOWN", "403 SCOPE_INSUFFICIENT"],
    ["/items#/../tags", "400", "400"],
    ["items", "400 Bad Request", "400 Bad Request"],
    ["*", "400 Bad Request", "400 Bad Request"],
    ["/items /tags", "400 Bad Request", "400 Bad Request"],
    ["/items\t/tags", "400 Bad Request", "400 Bad Request"],
    ["/items/\xff", "400 Bad Request", "400 Bad Request"],
    ["/items/\xc3\xa9", "400 Bad Request", "400 Bad Request"],
    ["/items?x=\xff", "400 Bad Request", "400 Bad Request"],
    ["https://api.retrac.co@evil.test/items", "404", "404"],
    ["https://retool.example.com/items", "401 KEY_UNKNOWN", "401 KEY_UNKNOWN"],
  ];

  it.each([...everywhere, "openNormalising"] as const)(
    "%s: each trick is decided as it is served",
    async (name) => {
      const got: [string, string][] = [];
      for (const [path] of outcomes) {
        got.push([path, outcome(await stage.toRetrac(name, { path, headers: [bearer(stage.items)] }))]);
      }
      const column = name === "openNormalising" ? 2 : 1;
      expect(got).toEqual(outcomes.map((row) => [row[0], row[column]]));
    },
  );

  it("no path is admitted that any server could read as one that the key may not use", async () => {
    const piece = fc.constantFrom(
      ...[
        "/",
        "//",
        "/items",
        "/tags",
        "/items/",
        "..",
        "/..",
        "/.",
        ".",
        "%2e",
        "%2E%2e",
        "%2f",
        "%5c",
        "\\",
        ";",
      ],
      ...[
        ";x=1",
        "%3f",
        "%23",
        "?",
        "%00",
        "%25",
        "%252e",
        "a",
        "ITEMS",
        "%69tems",
        "%C0%AE",
        "é",
        "*",
        "%20",
        "@",
      ],
    );
    const paths = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => `/items${pieces.join("")}`);
    await fc.assert(
      fc.asyncProperty(
        paths,
        fc.constantFrom("https", "openRaw", "openNormalising" as const),
        async (path, name) => {
          const before = stage.upstream.arrived.length;
          await stage.toRetrac(name, {
            path: Buffer.from(path).toString("latin1"),
            headers: [bearer(stage.items)],
          });
          const foreign = stage.upstream.arrived
            .slice(before)
            .flatMap(({ url }) => [...pathReadings(url)])
            .filter((reading) => !/^\/items(\/|$)/.test(reading));
          expect(foreign).toEqual([]);
        },
      ),
      { numRuns: 200 },
    );
    expect(outcome(await stage.toRetrac("https", { headers: [bearer(stage.items)] }))).toBe("200 /items");
  });
});

describe("the workspace", () => {
  it.each(everywhere)(
    "%s: is what Tollgate and the API both read, exactly once, in the query",
    async (name) => {
      const outcomes: [path: string, outcome: string][] = [
        ["/items?workspaceId=w1", "200 /items?workspaceId=w1"],
        ["/items?%77orkspaceId=w1", "200 /items?%77orkspaceId=w1"],
        ["/items?workspaceId=%771", "200 /items?workspaceId=%771"],
        ["/items", "400 WORKSPACE_REQUIRED"],
        ["/items?workspaceId=", "400 WORKSPACE_REQUIRED"],
        ["/items?workspaceId", "400 WORKSPACE_REQUIRED"],
        ["/items?workspaceId=w1&workspaceId=strangers", "400 WORKSPACE_REQUIRED"],
        ["/items?workspaceId=w1&workspaceId=w1", "400 WORKSPACE_REQUIRED"],
        ["/items?workspaceId=w1&%77orkspaceId=strangers", "400 WORKSPACE_REQUIRED"],
        ["/items?workspaceId=w1&workspaceId[]=strangers", "400 WORKSPACE_REQUIRED"],
        ["/items?workspaceId=w1&WORKSPACEID=strangers", "400 WORKSPACE_REQUIRED"],
        ["/items?workspaceId=w1;workspaceId=strangers", "403 NOT_A_MEMBER"],
        ["/items?workspaceId=strangers", "403 NOT_A_MEMBER"],
        ["/items?workspaceId=nowhere", "403 NOT_A_MEMBER"],
      ];
      const got: [string, string][] = [];
      for (const [path] of outcomes)
        got.push([path, outcome(await stage.toRetrac(name, { path, headers: [bearer(full)] }))]);
      expect(got).toEqual(outcomes);
    },
  );

  it.each(everywhere)("%s: is not read from the body, a cookie or a header", async (name) => {
    const elsewhere = await stage.toRetrac(name, {
      line: "POST /items HTTP/1.1",
      headers: [
        bearer(full),
        "Content-Type: application/x-www-form-urlencoded",
        "Cookie: workspaceId=w1",
        "workspaceId: w1",
      ],
      body: "workspaceId=w1",
    });
    expect(outcome(elsewhere)).toBe("400 WORKSPACE_REQUIRED");
    const both = await stage.toRetrac(name, {
      line: "POST /items?workspaceId=w1 HTTP/1.1",
      headers: [bearer(full), "Content-Type: application/x-www-form-urlencoded"],
      body: "workspaceId=strangers",
    });
    expect(identityIn(arrivedIn(both))["x-tollgate-workspace"]).toEqual(["w1"]);
  });

  it("is told even where the client says another in its header", async () => {
    const answer = await stage.toRetrac("open", {
      path: "/items?workspaceId=w1",
      headers: [bearer(full), "x-tollgate-workspace: strangers"],
    });
    expect(identityIn(arrivedIn(answer))["x-tollgate-workspace"]).toEqual(["w1"]);
  });
});
