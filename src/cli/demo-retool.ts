import { Mode } from "../gen/tollgate/v1/decision_pb.ts";
import { KeySchema } from "../gen/tollgate/v1/key_pb.ts";
import type { Stage } from "./demo-stage.ts";
import { outcomeText, type World } from "./demo-world.ts";
import { present } from "./listing.ts";
import { messageJson, type Session } from "./session.ts";

const resources = ["source_control", "users", "groups", "folders", "permissions", "app_themes"];
const allScopes = resources.flatMap((resource) => [`${resource}.read`, `${resource}.write`]);

/** Collections of `/api/v2/` by what a call to them costs. */
const costs: readonly (readonly [points: number, collections: readonly string[]])[] = [
  [2, ["apps", "folders", "users"]],
  [
    5,
    [
      "access_requests",
      "app_themes",
      "environments",
      "groups",
      "resources",
      "resource_configurations",
      "source_control",
      "spaces",
      "sso",
      "user_attributes",
      "user_invites",
    ],
  ],
  [10, ["permissions"]],
];

/** The rules A1 to A11 of the policy `retool`. */
export async function tellRetool(session: Session, stage: Stage, world: World): Promise<void> {
  stage.heading("Retool: access tokens of an organization, and points");
  await tellAccess(stage, world);
  const { secret } = await tellCreation(session, stage, world);
  await tellScopes(stage, world, secret);
  await tellRequests(stage, world, secret);
  await tellPoints(stage, world);
}

async function tellAccess(stage: Stage, world: World): Promise<void> {
  await world.putWorkspace("acme", {});
  await world.putMember("acme", "ada", { role: "admin" });
  await world.putMember("acme", "mel", { role: "member" });
  const token = { type: "access_token", name: "ci", scopes: ["groups.write"] };
  const early = await world.tryCreate("acme", "ada", token);
  stage.show({
    rule: "A8",
    what: "an admin creates a token before access to the beta was given",
    got: early.got,
    want: "refused: FEATURE_REQUIRED, 403",
  });
  await world.putWorkspace("acme", { features: ["api"] });
  const byMember = await world.tryCreate("acme", "mel", token);
  stage.show({
    rule: "A2",
    what: "with access given, a member who is no admin creates a token",
    got: byMember.got,
    want: "refused: ROLE_INSUFFICIENT, 403",
  });
}

async function tellCreation(session: Session, stage: Stage, world: World): Promise<{ secret: string }> {
  const fields = {
    type: "access_token",
    name: "ci",
    description: "keeps groups in step",
    scopes: ["groups.write"],
  };
  const { made, got } = await world.tryCreate("acme", "ada", fields);
  stage.show({ rule: "A2", what: "an admin creates a token", got, want: "created" });
  if (made === undefined) throw new Error("the story cannot go on without a token");
  const key = present((await session.keys.getKey({ keyId: made.key.id })).key);
  stage.show({
    rule: "A3",
    what: "its name, description and scopes",
    got: `${key.name}; ${key.description}; ${key.scopes.join(" ")}`,
    want: "ci; keeps groups in step; groups.write",
  });
  stage.show({
    rule: "A4",
    what: "the creation's answer, and what GetKey shows afterwards",
    got: `${made.secret.startsWith("retool_") ? "the token" : "no token"}; ${
      messageJson(KeySchema, key).includes(made.secret) ? "the token again" : "a preview only"
    }`,
    want: "the token; a preview only",
  });
  return made;
}

async function tellScopes(stage: Stage, world: World, groupsWriter: string): Promise<void> {
  const all = await world.tryCreate("acme", "ada", { type: "access_token", name: "all", scopes: allScopes });
  stage.show({
    rule: "A5",
    what: "a token with the read and write levels of all six scopes",
    got: all.got,
    want: "created",
  });
  const unknown = await world.tryCreate("acme", "ada", {
    type: "access_token",
    name: "x",
    scopes: ["spaces.read"],
  });
  stage.show({
    rule: "A5",
    what: "a scope that there is not",
    got: unknown.got,
    want: "refused: FIELD_INVALID",
  });
  stage.show({
    rule: "A6",
    what: "groups.write reads groups",
    got: await world.ask(groupsWriter, "GET /api/v2/groups"),
    want: "allowed",
  });
  const reader = await world.create("acme", "ada", {
    type: "access_token",
    name: "r",
    scopes: ["groups.read"],
  });
  stage.show({
    rule: "A6",
    what: "groups.read writes groups",
    got: await world.ask(reader.secret, "POST /api/v2/groups"),
    want: "refused: SCOPE_INSUFFICIENT, 403",
  });

  await world.putWorkspace("acme", { features: ["api"], withheldScopes: ["groups.write"] });
  const withheld = await world.tryCreate("acme", "ada", {
    type: "access_token",
    name: "x",
    scopes: ["groups.write"],
  });
  stage.show({
    rule: "A7",
    what: "groups.write is withheld from the organization: selecting it",
    got: withheld.got,
    want: "refused: SCOPE_UNAVAILABLE, 403",
  });
  stage.show({
    rule: "A7",
    what: "groups.write is withheld: using a token that has it",
    got: await world.ask(groupsWriter, "POST /api/v2/groups"),
    want: "refused: SCOPE_UNAVAILABLE, 403",
  });

  await world.putWorkspace("acme", {});
  stage.show({
    rule: "A8",
    what: "access to the beta is taken back: using a token",
    got: await world.ask(groupsWriter, "GET /api/v2/groups"),
    want: "refused: FEATURE_REQUIRED, 403",
  });
  await world.putWorkspace("acme", { features: ["api"] });
}

async function tellRequests(stage: Stage, world: World, secret: string): Promise<void> {
  stage.show({
    rule: "A1",
    what: "a request with the token as its bearer",
    got: await world.ask(secret, "POST /api/v2/apps"),
    want: "allowed",
  });
  stage.show({
    rule: "A1",
    what: "a request without a token",
    got: await world.ask("", "POST /api/v2/apps"),
    want: "refused: KEY_MISSING, 401",
  });
  stage.show({
    rule: "A11",
    what: "a route that is not below /api/v2",
    got: await world.ask(secret, "POST /api/v1/apps"),
    want: "refused: ROUTE_UNKNOWN, 404",
  });

  const all = await world.create("acme", "ada", { type: "access_token", name: "costs", scopes: allScopes });
  for (const [points, collections] of costs) {
    const got = new Set<string>();
    for (const collection of collections) {
      const answer = await world.check(all.secret, `GET /api/v2/${collection}`, { mode: Mode.PEEK });
      got.add(answer.allowed ? `${answer.points?.cost} points` : `${collection} ${outcomeText(answer)}`);
    }
    const groups = collections.map((collection) => collection.replaceAll("_", " ")).join(", ");
    stage.show({
      rule: "A10",
      what: `a call to ${groups}`,
      got: [...got].join(", "),
      want: `${points} points`,
    });
  }
}

async function tellPoints(stage: Stage, world: World): Promise<void> {
  await world.putWorkspace("busy", { features: ["api"] });
  await world.putMember("busy", "ada", { role: "admin" });
  const fields = { type: "access_token", name: "busy", scopes: ["users.read", "permissions.read"] };
  const first = await world.create("busy", "ada", fields);
  const second = await world.create("busy", "ada", fields);

  let allowed = 0;
  for (let call = 0; call < 150; call++) {
    if ((await world.check(first.secret, "GET /api/v2/users")).allowed) allowed++;
  }
  stage.show({
    rule: "A9",
    what: "150 calls to users, 2 points each",
    got: `${allowed} allowed`,
    want: "150 allowed",
  });
  const next = await world.check(first.secret, "GET /api/v2/users");
  stage.show({
    rule: "A9",
    what: "the next call",
    got: `${outcomeText(next)}, blocked for ${aboutSeconds(next.points?.blockedMs ?? 0)}`,
    want: "refused: POINTS_EXCEEDED, 429, blocked for about 60 s",
  });
  const other = await world.check(second.secret, "GET /api/v2/users");
  stage.show({
    rule: "A9",
    what: "a call with another token of the organization",
    got: outcomeText(other),
    want: "refused: BLOCKED, 429",
  });

  await world.putWorkspace("calm", { features: ["api"] });
  await world.putMember("calm", "ada", { role: "admin" });
  const calm = await world.create("calm", "ada", fields);
  const answer = await world.check(calm.secret, "GET /api/v2/permissions");
  stage.show({
    rule: "A10",
    what: "a call to permissions in another organization",
    got: `${outcomeText(answer)}, ${answer.points?.cost} points, ${answer.points?.remaining} left`,
    want: "allowed, 10 points, 290 left",
  });
}

/** A block that began a moment ago has a little less than its length left. */
function aboutSeconds(ms: number): string {
  return ms > 50_000 && ms <= 60_000 ? "about 60 s" : `${ms} ms`;
}
