import { KeySchema } from "../gen/tollgate/v1/key_pb.ts";
import type { Stage } from "./demo-stage.ts";
import type { MadeKey, World } from "./demo-world.ts";
import { present } from "./listing.ts";
import { messageJson, type Session } from "./session.ts";

const restricted = { type: "restricted", name: "integration" };
const fullAccess = { type: "full_access", name: "back office" };

/** For each resource, a request that its read scope allows and one that its write scope does. */
const requests: Readonly<Record<string, readonly [read: string, write: string]>> = {
  items: ["GET /items", "POST /items"],
  tags: ["GET /tags", "POST /tags"],
  locations: ["GET /locations", "POST /locations"],
  inventory: ["GET /inventory", "PUT /locations/berlin/stock"],
  transfers: ["GET /transfers", "POST /transfers"],
  workspaces: ["GET /workspace", "PATCH /workspace"],
};

/** The rules B1 to B14 of the policy `retrac`. */
export async function tellRetrac(session: Session, stage: Stage, world: World): Promise<void> {
  stage.heading("Retrac: keys that act as the user who made them");
  await tellCreation(session, stage, world);
  await tellTransport(stage, world);
  await tellTypes(stage, world);
  await tellSelection(stage, world);
  await tellScopes(stage, world);
  await tellLiveRights(stage, world);
  await tellPlanAtUse(stage, world);
  await tellRevocation(session, stage, world);
}

async function tellCreation(session: Session, stage: Stage, world: World): Promise<void> {
  await world.putWorkspace("shop", { plan: "pro" });
  await world.putMember("shop", "olga", { role: "owner", allLocations: true });
  await world.putMember("shop", "max", { role: "member", locationIds: ["berlin"] });
  const scopes = ["items.read"];
  const early = await world.tryCreate("shop", "olga", { ...restricted, scopes });
  stage.show({
    rule: "B13",
    what: "an owner creates a key on the plan pro",
    got: early.got,
    want: "refused: PLAN_REQUIRED, 403",
  });
  await world.putWorkspace("shop", { plan: "business" });
  const { made, got } = await world.tryCreate("shop", "olga", { ...restricted, scopes });
  stage.show({ rule: "B13", what: "the same on the plan business", got, want: "created" });
  const stranger = await world.tryCreate("shop", "sam", { ...restricted, scopes });
  stage.show({
    rule: "B2",
    what: "a user who is not in the workspace creates a key there",
    got: stranger.got,
    want: "refused: NOT_A_MEMBER, 403",
  });
  if (made === undefined) throw new Error("the story cannot go on without a key");
  stage.show({
    rule: "B2",
    what: "the owner's key belongs to the workspace that it was made in",
    got: made.key.workspaceId === world.id("shop") ? "yes" : "no",
    want: "yes",
  });
  const shown = messageJson(KeySchema, present((await session.keys.getKey({ keyId: made.key.id })).key));
  stage.show({
    rule: "B5",
    what: "what GetKey shows of it",
    got: shown.includes(made.secret) ? "the key again" : "a preview only",
    want: "a preview only",
  });
}

async function tellTransport(stage: Stage, world: World): Promise<void> {
  const { secret } = await world.create("shop", "olga", { ...restricted, scopes: ["items.read"] });
  const ask = async (rule: string, what: string, want: string, answer: Promise<string>) =>
    stage.show({ rule, what, got: await answer, want });
  await ask(
    "B1",
    "a request over plain HTTP, with a good key",
    "refused: INSECURE_TRANSPORT, 403",
    world.ask(secret, "GET /items", { scheme: "http" }),
  );
  await ask("B1", "the same over HTTPS", "allowed", world.ask(secret, "GET /items"));
  await ask("B4", "a request with the key as its bearer", "allowed", world.ask(secret, "GET /items"));
  await ask("B4", "a request without one", "refused: KEY_MISSING, 401", world.ask("", "GET /items"));
  await ask(
    "B12",
    "a dashboard session's cookie in the key's place",
    "refused: KEY_MALFORMED, 401",
    world.ask("session=eyJ1c2VyIjoib2xnYSJ9", "GET /items"),
  );
  await ask(
    "B12",
    "a request with the session's cookie only, so without a key",
    "refused: KEY_MISSING, 401",
    world.ask("", "GET /items"),
  );
}

async function tellTypes(stage: Stage, world: World): Promise<void> {
  const owner = await world.create("shop", "olga", fullAccess);
  stage.show({ rule: "B6", what: "a full access key's prefix", got: prefixOf(owner), want: "none" });
  stage.show({
    rule: "B6",
    what: "a request with it that names no workspace",
    got: await world.ask(owner.secret, "GET /items"),
    want: "refused: WORKSPACE_REQUIRED, 400",
  });
  stage.show({
    rule: "B6",
    what: "the same with workspaceId",
    got: await world.ask(owner.secret, "GET /items?workspaceId={shop}"),
    want: "allowed",
  });
  stage.show({
    rule: "B6",
    what: "the list of the user's workspaces, which is in none of them",
    got: await world.ask(owner.secret, "GET /workspaces"),
    want: "allowed",
  });
  stage.show({
    rule: "B6",
    what: "an owner's full access key writes locations",
    got: await world.ask(owner.secret, "POST /locations?workspaceId={shop}"),
    want: "allowed",
  });
  const member = await world.create("shop", "max", fullAccess);
  stage.show({
    rule: "B6",
    what: "a member's full access key writes locations",
    got: await world.ask(member.secret, "POST /locations?workspaceId={shop}"),
    want: "refused: ROLE_INSUFFICIENT, 403",
  });

  const bound = await world.create("shop", "olga", { ...restricted, scopes: ["items.read"] });
  stage.show({ rule: "B7", what: "a restricted key's prefix", got: prefixOf(bound), want: "retrac_" });
  stage.show({
    rule: "B7",
    what: "a request with it that passes workspaceId",
    got: await world.ask(bound.secret, "GET /items?workspaceId={shop}"),
    want: "refused: WORKSPACE_NOT_ALLOWED, 400",
  });
  stage.show({
    rule: "B7",
    what: "the same without",
    got: await world.ask(bound.secret, "GET /items"),
    want: "allowed",
  });
  stage.show({
    rule: "B7",
    what: "a request beyond the selected scopes",
    got: await world.ask(bound.secret, "GET /tags"),
    want: "refused: SCOPE_INSUFFICIENT, 403",
  });
}

async function tellSelection(stage: Stage, world: World): Promise<void> {
  const { key } = await world.create("shop", "olga", { ...restricted, scopes: ["tags.read items.read"] });
  stage.show({
    rule: "B8",
    what: 'a key created with the scopes "tags.read items.read"',
    got: key.scopes.join(", "),
    want: "items.read, tags.read",
  });
  const all = await world.create("shop", "olga", { ...restricted, scopes: ["apis.all"] });
  const read = await world.create("shop", "olga", { ...restricted, scopes: ["apis.read"] });
  const subset = await world.create("shop", "olga", { ...restricted, scopes: ["items.write"] });
  for (const [name, made, writes] of [
    ["apis.all", all, "allowed"],
    ["apis.read", read, "refused: SCOPE_INSUFFICIENT, 403"],
  ] as const) {
    stage.show({
      rule: "B9",
      what: `a key with ${name} reads items`,
      got: await world.ask(made.secret, "GET /items"),
      want: "allowed",
    });
    stage.show({
      rule: "B9",
      what: `a key with ${name} writes items`,
      got: await world.ask(made.secret, "POST /items"),
      want: writes,
    });
  }
  stage.show({
    rule: "B9",
    what: "a key with a subset of its own, items.write, writes items",
    got: await world.ask(subset.secret, "POST /items"),
    want: "allowed",
  });
}

async function tellScopes(stage: Stage, world: World): Promise<void> {
  for (const [resource, [read, write]] of Object.entries(requests)) {
    const reader = await world.create("shop", "olga", { ...restricted, scopes: [`${resource}.read`] });
    const writer = await world.create("shop", "olga", { ...restricted, scopes: [`${resource}.write`] });
    const no = "refused: SCOPE_INSUFFICIENT, 403";
    const got = [
      await world.ask(reader.secret, read),
      await world.ask(reader.secret, write),
      await world.ask(writer.secret, read),
      await world.ask(writer.secret, write),
    ];
    const asWanted = got.join() === ["allowed", no, no, "allowed"].join();
    stage.show({
      rule: "B10",
      what: `${resource}.read and ${resource}.write`,
      got: asWanted ? "each allows its own, and not the other's" : got.join("; "),
      want: "each allows its own, and not the other's",
    });
  }
  for (const scope of ["locations.write", "workspaces.write"]) {
    const { got } = await world.tryCreate("shop", "max", { ...restricted, scopes: [scope] });
    stage.show({
      rule: "B10",
      what: `a member selects ${scope}`,
      got,
      want: "refused: ROLE_INSUFFICIENT, 403",
    });
  }
  const owner = await world.create("shop", "olga", { ...restricted, scopes: ["transfers.write"] });
  const member = await world.create("shop", "max", { ...restricted, scopes: ["transfers.write"] });
  const show = async (what: string, made: MadeKey, request: string, want: string) =>
    stage.show({ rule: "B10", what, got: await world.ask(made.secret, request), want });
  await show("a member's key with transfers.write creates a transfer", member, "POST /transfers", "allowed");
  await show(
    "a member's key with transfers.write reverts one",
    member,
    "POST /transfers/t1/revert",
    "refused: ROLE_INSUFFICIENT, 403",
  );
  await show(
    "an owner's key with transfers.write reverts one",
    owner,
    "POST /transfers/t1/revert",
    "allowed",
  );
  const balances = await world.create("shop", "olga", { ...restricted, scopes: ["inventory.read"] });
  await show("a key with inventory.read reads movements", balances, "GET /inventory/movements", "allowed");
}

async function tellLiveRights(stage: Stage, world: World): Promise<void> {
  await world.putMember("shop", "vera", { role: "owner", allLocations: true });
  const { secret } = await world.create("shop", "vera", {
    ...restricted,
    scopes: ["locations.write", "locations.read"],
  });
  const show = async (rule: string, what: string, request: string, want: string) =>
    stage.show({ rule, what, got: await world.ask(secret, request), want });
  await show("B3", "an owner's key writes locations", "POST /locations", "allowed");
  await world.putMember("shop", "vera", { role: "member", locationIds: ["berlin"] });
  await show(
    "B11",
    "the owner became a member: the same key",
    "POST /locations",
    "refused: ROLE_INSUFFICIENT, 403",
  );
  await show("B3", "her location, with that key", "GET /locations/berlin", "allowed");
  await show("B3", "a location that is not hers", "GET /locations/paris", "refused: LOCATION_DENIED, 403");
  await show(
    "B3",
    "the same in the query",
    "GET /locations?locationId=paris",
    "refused: LOCATION_DENIED, 403",
  );
  await world.putMember("shop", "vera", { role: "member", locationIds: ["berlin", "paris"] });
  await show("B3", "she was given that location", "GET /locations/paris", "allowed");
  await world.removeMember("shop", "vera");
  await show("B3", "she left the workspace", "GET /locations/berlin", "refused: NOT_A_MEMBER, 403");
}

async function tellPlanAtUse(stage: Stage, world: World): Promise<void> {
  const { secret } = await world.create("shop", "olga", { ...restricted, scopes: ["items.read"] });
  const show = async (what: string, want: string) =>
    stage.show({ rule: "B13", what, got: await world.ask(secret, "GET /items"), want });
  await world.putWorkspace("shop", { plan: "pro" });
  await show("the workspace went down to the plan pro: using a key", "refused: PLAN_REQUIRED, 403");
  await world.putWorkspace("shop", { plan: "enterprise" });
  await show("it went up to enterprise: the same key", "allowed");
}

async function tellRevocation(session: Session, stage: Stage, world: World): Promise<void> {
  const { secret } = await world.create("shop", "olga", { ...restricted, scopes: ["items.read"] });
  stage.show({
    rule: "B14",
    what: "a key that leaked works",
    got: await world.ask(secret, "GET /items"),
    want: "allowed",
  });
  await session.keys.revokeKey({ target: { case: "key", value: secret }, reason: "found in client code" });
  stage.show({
    rule: "B14",
    what: "it was revoked by the key itself: the next request",
    got: await world.ask(secret, "GET /items"),
    want: "refused: KEY_REVOKED, 401",
  });
}

/** What stands before the 49 letters and digits. */
function prefixOf({ secret }: MadeKey): string {
  return secret.slice(0, -49) || "none";
}
