import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRouteTable, type Route } from "../../src/policy/route-table.ts";
import { isParameter, parseRouteTemplate } from "../../src/policy/route-template.ts";
import { policyOf, shopWith } from "./policy-text.ts";

function route(template: string, locationParameters: readonly string[] = []): Route {
  const parsed = parseRouteTemplate(template);
  if ("fault" in parsed) throw new Error(parsed.fault);
  return {
    template,
    method: parsed.template.method,
    segments: parsed.template.segments,
    permission: undefined,
    cost: 1,
    inWorkspace: true,
    isPublic: false,
    locationParameters,
  };
}

const table = createRouteTable([
  route("GET /"),
  route("GET /items"),
  route("POST /items"),
  route("GET /items/"),
  route("GET /items/:id"),
  route("GET /items/new"),
  route("GET /items/:id/parts/:part"),
  route("GET /items/new/parts/first"),
  route("GET /:any/new/:last"),
  route("OPTIONS /items"),
  route("GET /shops/:shop", ["shop"]),
  route("GET /moves/:from/:to", ["to", "from"]),
  route("GET /file/a.b~c:d@e"),
]);

describe("exactly one route matches a method and a path", () => {
  test.each([
    ["GET", "/", "GET /"],
    ["GET", "/items", "GET /items"],
    ["POST", "/items", "POST /items"],
    ["OPTIONS", "/items", "OPTIONS /items"],
    ["GET", "/items/42", "GET /items/:id"],
    ["GET", "/items/new", "GET /items/new"],
    ["GET", "/items/news", "GET /items/:id"],
    ["GET", "/items/New", "GET /items/:id"],
    ["GET", "/items/%20", "GET /items/:id"],
    ["GET", "/items/:id", "GET /items/:id"],
    ["GET", "/items/", "GET /items/"],
    ["GET", "/items/new/parts/first", "GET /items/new/parts/first"],
    // Goes back on "new": below it there is no such way.
    ["GET", "/items/new/parts/second", "GET /items/:id/parts/:part"],
    // Goes back on "items" too.
    ["GET", "/items/new/other", "GET /:any/new/:last"],
    ["GET", "/things/new/other", "GET /:any/new/:last"],
    ["GET", "/file/a.b~c:d@e", "GET /file/a.b~c:d@e"],
    // HEAD follows GET, and nothing else does.
    ["HEAD", "/items", "GET /items"],
    ["OPTIONS", "/items/42", undefined],
    ["PUT", "/items", undefined],
    ["get", "/items", undefined],
    ["", "/items", undefined],
    ["constructor", "/items", undefined],
    ["GET", "/ITEMS", undefined],
    ["GET", "/items/42/", undefined],
    ["GET", "/items//", undefined],
    ["GET", "/items//parts/1", undefined],
    ["GET", "/items/42/parts/", undefined],
    ["GET", "/items/42/parts", undefined],
    ["GET", "/items/42/parts/1/2", undefined],
    ["GET", "/items/%34%32", undefined],
    ["GET", "/items/..%2fusers", undefined],
    ["GET", "/items?x=1", undefined],
    ["GET", "", undefined],
    ["GET", "items", undefined],
  ])("%s %s: %s", (method, path, template) => {
    expect(table.match(method, path)?.template).toBe(template);
  });
});

test("an escaped spelling of a fixed segment is not taken for a parameter's value", () => {
  const fixed = createRouteTable([route("GET /items/@export"), route("GET /items/:id")]);
  expect(fixed.match("GET", "/items/@export")?.template).toBe("GET /items/@export");
  expect(fixed.match("GET", "/items/%40export")).toBeUndefined();
  expect(fixed.match("GET", "/items/ann%40example.com")?.template).toBe("GET /items/:id");
});

test("locations in the path are decoded once, each by the name that the route gives it", () => {
  expect(table.match("GET", "/shops/berlin")?.locationIds).toEqual(["berlin"]);
  expect(table.match("GET", "/shops/%C3%A5s")?.locationIds).toEqual(["ås"]);
  expect(table.match("GET", "/shops/a+b")?.locationIds).toEqual(["a+b"]);
  expect(table.match("GET", "/moves/here/there")?.locationIds).toEqual(["there", "here"]);
  expect(table.match("GET", "/shops/%C3")).toBeUndefined();
});

test("a route below another's parameter does not see the values of ways that were gone back on", () => {
  const routes = createRouteTable([
    route("GET /a/:x/b/:y/c", ["x"]),
    route("GET /a/:x/:z/:w/d", ["w"]),
    route("GET /a/one/b/two/e"),
  ]);
  expect(routes.match("GET", "/a/one/b/two/d")?.locationIds).toEqual(["two"]);
  expect(routes.match("GET", "/a/one/b/two/c")?.locationIds).toEqual(["one"]);
});

test("a policy's routes begin with its base path", () => {
  const { routes } = policyOf(shopWith(["plans:", "base_path: /api/v2\nplans:"]));
  expect(routes.match("GET", "/api/v2/items")?.template).toBe("GET /items");
  expect(routes.match("GET", "/items")).toBeUndefined();
  expect(routes.match("GET", "/api/v2")).toBeUndefined();
});

test("a route says its permission, cost, workspace and access", () => {
  const { routes } = policyOf(
    shopWith([
      "routes:\n",
      `routes:
  - {match: "GET /me", permission: items.read, cost: 7, workspace: none}
  - {match: "OPTIONS /items", access: public}
`,
    ]),
  );
  expect(routes.match("GET", "/items")).toMatchObject({ cost: 1, inWorkspace: true, isPublic: false });
  expect(routes.match("GET", "/items")?.permission?.name).toBe("items.read");
  expect(routes.match("GET", "/me")).toMatchObject({ cost: 7, inWorkspace: false, isPublic: false });
  expect(routes.match("OPTIONS", "/items")).toMatchObject({
    permission: undefined,
    cost: 0,
    inWorkspace: false,
    isPublic: true,
  });
});

test("the tree answers as trying every template would, fixed segments first from the left", () => {
  const segment = fc.constantFrom("a", "b", ":x", ":y");
  const template = fc.uniqueArray(segment, { minLength: 1, maxLength: 4 });
  const path = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      fc.uniqueArray(template, { maxLength: 12, selector: shapeOf }),
      fc.array(path, { minLength: 1, maxLength: 20 }),
      (templates, paths) => {
        const routes = createRouteTable(templates.map((segments) => route(`GET /${segments.join("/")}`)));
        for (const segments of paths) {
          const best = templates.filter((candidate) => fits(candidate, segments)).sort(byFixedFirst)[0];
          const expected = best === undefined ? undefined : `GET /${best.join("/")}`;
          expect(routes.match("GET", `/${segments.join("/")}`)?.template).toBe(expected);
        }
      },
    ),
  );
});

function shapeOf(segments: readonly string[]): string {
  return segments.map((segment) => (isParameter(segment) ? ":" : segment)).join("/");
}

function fits(template: readonly string[], path: readonly string[]): boolean {
  return (
    template.length === path.length &&
    template.every((segment, place) => isParameter(segment) || segment === path[place])
  );
}

function byFixedFirst(a: readonly string[], b: readonly string[]): number {
  const place = a.findIndex((segment, index) => isParameter(segment) !== isParameter(b[index] as string));
  return place === -1 ? 0 : isParameter(a[place] as string) ? 1 : -1;
}
