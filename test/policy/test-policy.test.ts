import { describe, expect, test } from "vitest";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { formatProblem } from "../../src/policy/problem.ts";
import { type TestResult, testPolicy } from "../../src/policy/test-policy.ts";
import { policyOf, SHOP, shopWith } from "./policy-text.ts";

const WORLD = `policy: shop
origin: https://api.shop.example
workspaces:
  acme: {plan: free, members: {ann: owner, bob: {role: clerk, locations: [north]}}}
keys:
  ann: {type: secret, workspace: acme, creator: ann, scopes: everything}
cases:
`;

async function run(text: string, policy = SHOP): Promise<TestResult> {
  const result = await play(text, policy);
  if ("problems" in result) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result;
}

function play(text: string, policy = SHOP) {
  return testPolicy(
    policyOf(policy),
    { text, file: "shop.test.yaml" },
    { createBuckets: (now) => createInProcessBuckets({ now }) },
  );
}

/** The failures of one case with one step, without their place. */
async function failuresOf(step: string, policy = SHOP): Promise<string[]> {
  const { cases } = await run(`${WORLD}  - name: one\n    steps:\n      - ${step}\n`, policy);
  return cases.flatMap(({ failures }) => failures.map(({ message }) => message));
}

test("cases pass or fail on their own, each from the start, and rules know their cases", async () => {
  const { cases, rules } = await run(`${WORLD}
  - name: spends
    rules: [R10, R2]
    key: ann
    steps:
      - {request: GET /items, times: 100, expect: allowed}
      - {request: GET /items, expect: POINTS_EXCEEDED}
  - name: fails
    rules: [R2]
    steps:
      - {request: GET /items, key: ann, expect: KEY_MISSING}
      - {request: GET /nowhere, key: ann, expect: allowed}
  - name: begins anew
    key: ann
    steps:
      - {request: GET /items, expect: {remaining: 99}}
`);
  expect(cases.map(({ name, passed }) => [name, passed])).toEqual([
    ["spends", true],
    ["fails", false],
    ["begins anew", true],
  ]);
  expect(cases[1]?.failures.map(formatProblem)).toEqual([
    "shop.test.yaml:18:9: GET /items: expected KEY_MISSING, got no refusal.",
  ]);
  expect([...rules]).toEqual([
    ["R2", ["spends", "fails"]],
    ["R10", ["spends"]],
  ]);
});

describe("what came out differently is told with why", () => {
  test.each([
    ["{request: GET /items, key: ann, expect: {cost: 2}}", "GET /items: expected cost 2, got 1."],
    [
      "{request: GET /items, expect: allowed}",
      "GET /items: expected no refusal, got KEY_MISSING. No key was sent.",
    ],
    [
      "{request: GET /item, key: ann, expect: allowed}",
      "GET /item: expected no refusal, got ROUTE_UNKNOWN. No route matches the method and the canonical path.",
    ],
    [
      "{request: GET /items, key: ann, times: 200, expect: allowed}",
      'GET /items (time 101 of 200): expected no refusal, got POINTS_EXCEEDED. "points": 0 of 100 points left, cost 1, all back in 60000 ms.',
    ],
    [
      "{request: [GET /items, GET /nowhere], key: ann, expect: {status: 200}}",
      "GET /nowhere: expected no refusal, got ROUTE_UNKNOWN. No route matches the method and the canonical path.",
    ],
    [
      "{request: GET /items, key: ann, expect: {permissions: items.read}}",
      "GET /items: expected permissions [items.read], got [items.read, items.write].",
    ],
    ["{request: GET /items, key: ann, expect: {window: 5m}}", 'GET /items: expected window "5m", got 60000.'],
    [
      "{create_key: {type: secret, workspace: acme, creator: bob, scopes: items.read}}",
      'create a key: expected no refusal, got the error ROLE_INSUFFICIENT. The role "clerk" may not create keys.',
    ],
    [
      "{create_key: {type: secret, workspace: acme, creator: ann, scopes: items.read}, expect: PLAN_REQUIRED}",
      "create a key: expected the error PLAN_REQUIRED, got no refusal.",
    ],
    [
      "{permission: items.raed, key: ann, expect: allowed}",
      'items.raed: expected no refusal, got the error FIELD_INVALID. permission: there is no permission "items.raed"',
    ],
    ["{show_key: ann, expect: {name: other}}", 'show ann: expected name "other", got "a key".'],
    [
      "{set_member: {workspace: acme, user: eve, role: clerk}}",
      "set member eve: expected no refusal, got the error MEMBER_UNKNOWN. There is no such member.",
    ],
  ])("%s", async (step, message) => {
    const [failure = ""] = await failuresOf(step);
    expect(failure.replace(/\.\.$/, ".")).toBe(message);
  });
});

describe("a step that cannot be played fails", () => {
  test.each([
    ["{request: GET /items, key: an, expect: allowed}", 'There is no key "an". Did you mean "ann"?'],
    ["{request: GET /items, key: ann}", "A check needs an expectation; write expect: allowed, or a reason."],
    [
      "{request: GET /items, key: ann, expect: KEY_MISING}",
      'There is no reason KEY_MISING. Did you mean "KEY_MISSING"?',
    ],
    [
      "{request: GET /items, key: ann, expect: {reason: done}}",
      expect.stringContaining("There is no reason done."),
    ],
    [
      "{request: GET https://other.example/items, key: ann, expect: allowed}",
      'The policy has no host "other.example".',
    ],
    ["{request: GET items, key: ann, expect: allowed}", '"items" is neither a path nor a URL with one.'],
    [
      "{wait: 60s, request: GET /items, expect: allowed}",
      "The step does several things (request, wait); write a step for each.",
    ],
    ["{key: ann}", expect.stringContaining("The step does nothing; write one of request, permission, wait")],
  ])("%s", async (step, message) => {
    // A key that a case names and the file does not have is looked for when its step is played.
    const [failure] = await failuresOf(step);
    expect(failure).toEqual(message);
  });
});

test("a world that the policy does not allow fails the case that needs it", async () => {
  const gated = shopWith(["plans: [free, pro]", "plans: [free, pro]\nrequires: {plan: pro}"]);
  expect(await failuresOf("{request: GET /items, key: ann, expect: allowed}", gated)).toEqual([
    'The world could not be made: API keys need at least the plan "pro".',
  ]);
  expect(await failuresOf("{request: GET /items, expect: KEY_MISSING}", gated)).toEqual([]);
});

test("each kind of step does what it says, by the service's own rules", async () => {
  const { cases } = await run(`${WORLD}
  - name: all
    key: ann
    steps:
      - {request: GET /items, expect: {user: ann, workspace: acme, role: owner, plan: free, locations: all, environment: live}}
      - {key: ann, permission: items.write, expect: {cost: 2, limit: 100, remaining: 97, window: 60s, status: 200}}
      - {key: ann, permission: items.write, points: 97, expect: {remaining: 0}}
      - {key: ann, permission: items.write, mode: peek, expect: {reason: POINTS_EXCEEDED, retry_after: 60s}}
      - {key: ann, permission: items.write, mode: record, expect: allowed}
      - {wait: 2m}
      - {request: GET /items, request_id: one, times: 3, expect: {remaining: 99}}
      - {request: GET /items, workspace: acme, expect: {reason: WORKSPACE_NOT_ALLOWED, status: 400}}
      - {create_key: {as: bot, type: secret, workspace: acme, creator: ann, scopes: items.read, expires_after: 1h, allowed_cidrs: [10.0.0.0/8], name: Bot}}
      - {show_key: bot, expect: {name: Bot, scopes: items.read, key_status: active, secret: hidden, preview: shop_…}}
      - {request: GET /items, key: bot, expect: ADDRESS_DENIED}
      - {request: GET /items, key: bot, client_ip: 10.1.2.3, expect: allowed}
      - {update_key: {key: bot, actor: ann, scopes: items.write}}
      - {request: GET /items, key: bot, client_ip: 10.1.2.3, expect: {reason: SCOPE_INSUFFICIENT, required_scopes: items.read}}
      - {wait: 1h}
      - {request: GET /items, key: bot, client_ip: 10.1.2.3, expect: KEY_EXPIRED}
      - {show_key: bot, expect: {key_status: expired}}
      - {rotate_key: {key: ann, actor: ann, overlap: 1h, as: ann anew}, expect: {user: ann}}
      - {request: GET /items, key: ann anew, expect: allowed}
      - {request: GET /items, key: ann, expect: allowed}
      - {wait: 1h}
      - {request: GET /items, key: ann, expect: KEY_EXPIRED}
      - {rotate_key: {key: ann, actor: bob}, expect: ROLE_INSUFFICIENT}
      - {set_member: {workspace: acme, user: ann, role: clerk, locations: [north]}}
      - {request: GET /items, key: ann anew, expect: {role: clerk, locations: [north], permissions: items.read}}
      - {request: GET /items, key: ann anew, locations: [south], expect: LOCATION_DENIED}
      - {request: GET /shops/south/items, key: ann anew, expect: {reason: LOCATION_DENIED, route: "GET /shops/:shop/items"}}
      - {set_workspace: {acme: {suspended: true}}}
      - {request: GET /items, key: ann anew, expect: WORKSPACE_SUSPENDED}
      - {set_workspace: {acme: {suspended: false, withheld_scopes: items.read}}}
      - {request: GET /items, key: ann anew, expect: {reason: SCOPE_UNAVAILABLE, required_scopes: items.read}}
      - {remove_member: {workspace: acme, user: ann}}
      - {request: GET /items, key: ann anew, expect: NOT_A_MEMBER}
      - {revoke_secret: {of: ann anew}}
      - {request: GET /items, key: ann anew, expect: KEY_REVOKED}
      - {revoke_key: {key: bot}}
      - {show_key: bot, expect: {key_status: revoked}}
      - {request: GET /items, cookie: "session=1", expect: KEY_MISSING}
      - {request: GET /items, secret: x, expect: KEY_MALFORMED}
`);
  expect(cases.flatMap(({ failures }) => failures.map(formatProblem))).toEqual([]);
});

test("a policy in shadow refuses nothing and says what it would have", async () => {
  const shadow = shopWith(["plans:", "enforcement: shadow\nplans:"]);
  expect(
    await failuresOf("{request: GET /items, expect: {status: 200, shadow_reason: KEY_MISSING}}", shadow),
  ).toEqual([]);
});

test("a case sees what a limit or a scope in shadow would have refused", async () => {
  const shadow = shopWith(
    ["window: 60s", "window: 60s, block: 5m, shadow: true"],
    ["  items.write: {}", "  items.write: {shadow: true}"],
  );
  const allowed = (reason: string) => `expect: {status: 200, shadow_reason: ${reason}}`;
  expect(
    await failuresOf(
      `{key: ann, permission: items.read, points: 100, expect: allowed}
      - {key: ann, permission: items.read, ${allowed("POINTS_EXCEEDED")}}
      - {key: ann, permission: items.read, ${allowed("BLOCKED")}}
      - {wait: 5m}
      - {key: ann, permission: items.read, points: 101, ${allowed("COST_ABOVE_LIMIT")}}
      - {create_key: {as: reader, type: secret, workspace: acme, creator: ann, scopes: items.read}}
      - {key: reader, permission: items.write, ${allowed("SCOPE_INSUFFICIENT")}}`,
      shadow,
    ),
  ).toEqual([]);
});

describe("a test file that cannot be read says where and why", () => {
  test.each([
    ["", ["1:1: The file: write a map with policy, origin, workspaces, keys, cases."]],
    [
      "policy: depot\ncases: [{name: a, steps: [{wait: 1s}]}]",
      ['1:9: The cases are for the policy "depot"; this one is "shop".'],
    ],
    ["policy: shop\ncases: []", ["2:8: cases: write at least one case."]],
    [
      "policy: shop\ncases:\n  - name: a\n    steps:\n      - {requests: GET /items}",
      [
        expect.stringMatching(
          /^5:10: There is no field "requests" in cases\[0\]\.steps\[0\]\. Did you mean "request"\?$/,
        ),
      ],
    ],
    [
      "policy: shop\ncases:\n  - name: a\n    steps:\n      - {request: /items}",
      [expect.stringMatching(/^5:19: cases\[0\]\.steps\[0\]\.request: write a method and a path/)],
    ],
    [
      "policy: shop\ncases:\n  - name: a\n    steps:\n      - {request: []}",
      [expect.stringMatching(/^5:19: cases\[0\]\.steps\[0\]\.request: write a method and a path/)],
    ],
  ])("%j", async (text, problems) => {
    const result = await play(text);
    if (!("problems" in result)) throw new Error("the file was played");
    expect(result.problems.map((problem) => formatProblem(problem).replace("shop.test.yaml:", ""))).toEqual(
      problems,
    );
  });
});
