import { z } from "zod";
import { DURATION_PATTERN } from "./duration.ts";
import { describe, fields, listOf, mapOf, oneOf, text } from "./schema-parts.ts";

/**
 * What a policy file may hold, as far as each field can be judged alone; what fields mean to each other
 * is judged by compile.ts. Every field has a description, since editors show them, and every message
 * says what would be right. Unknown fields are errors.
 */

const DURATION = "write a duration such as 500ms, 60s, 5m, 1h or 30d";
const NAME = "write a name of lower-case letters, digits, _ and -, beginning with a letter, at most 64 long";
const RIGHT =
  "write a name of lower-case letters, digits, . _ : and -, beginning with a letter, at most 128 long";
const POINTS = "write a whole number of points";
const COST = "write a whole number of points, 0 or more, at most 1000000000";

const duration = text(DURATION).regex(DURATION_PATTERN, DURATION);
const name = text(NAME).regex(/^[a-z][a-z0-9_-]{0,63}$/, NAME);
const right = text(RIGHT).regex(/^[a-z][a-z0-9_.:-]{0,127}$/, RIGHT);
const PATTERN = "write a name, or a pattern with * such as *.read";
const pattern = text(PATTERN).regex(/^[a-z0-9_.:*-]{1,128}$/, PATTERN);
const FEATURE = "write a feature's name: lower-case letters, digits, . _ and -, beginning with a letter";
const feature = text(FEATURE).regex(/^[a-z][a-z0-9_.-]{0,63}$/, FEATURE);
const QUERY = "write a query parameter's name, such as workspaceId";
const queryName = text(QUERY).regex(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/, QUERY);
const cost = z.number({ error: COST }).int(COST).min(0, COST).max(1_000_000_000, COST);
const points = z
  .number({ error: POINTS })
  .int(POINTS)
  .min(1, "a limit of less than 1 point would refuse everything; write at least 1, or leave the limit out")
  .max(1_000_000_000, "write at most 1000000000 points");
const SHARE = "write a share of the points: a number above 0 and up to 1, such as 0.9";
const share = z.number({ error: SHARE }).positive(SHARE).max(1, SHARE);
const flag = z.boolean({ error: "write true or false" });
const prose = text("write a text").max(1000, "write at most 1000 characters");

const HOST = 'write a host in lower case and without a port: "api.example.com" or "*.example.com"';
const host = text(HOST)
  .max(253, HOST)
  .regex(/^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, HOST);

const BASE_PATH = 'write a path that begins with "/" and does not end with one, such as /api/v2';

const gate = fields({
  plan: describe(name.optional(), "The lowest plan that passes: one of `plans`."),
  feature: describe(feature.optional(), "A feature that the workspace must have been given."),
});

const permission = z.union(
  [
    cost,
    fields({
      cost: describe(
        cost.optional(),
        "Points of a check for it, unless a route says otherwise. Without one, each of its routes states a cost, and a check by permission must pass points.",
      ),
      any_key: describe(flag.default(false), "Any live key may do it: neither a scope nor a role is asked."),
      description: describe(prose.default(""), "For people."),
    }),
  ],
  { error: "write its cost in points, or a map with cost, any_key, description" },
);

const role = fields({
  permissions: describe(
    listOf(pattern, { of: 'permissions, or patterns such as "*.read"', max: 1000 }),
    'What the role may do: names, or patterns with * such as "*" or "*.read". Nothing else adds to it.',
  ),
  creates_keys: describe(flag.default(false), "Whether members of this role create keys."),
  manages_keys: describe(
    oneOf(["none", "own", "workspace"]).default("none"),
    "Whose keys members of this role change, rotate and revoke: nobody's, those that they created, or all of the workspace.",
  ),
});

const PREFIX =
  'write "" for none, or at most 32 letters, digits, _ and - that end in _ or -, such as acme_live_: without that end it could not be told from the random part';
const LEGACY = "write a regular expression from ^ to $, such as ^sk_[0-9a-f]{32}$";

const keyType = fields({
  prefix: describe(
    text(PREFIX).regex(/^([A-Za-z0-9][A-Za-z0-9_-]{0,30}[_-])?$/, PREFIX),
    "What its secrets begin with, so that people and scanners tell them apart.",
  ),
  environment: describe(name.default("live"), "What its keys are for, such as live or test."),
  workspace: describe(
    z.union(
      [
        z.literal("bound"),
        z.literal("request"),
        fields({ query: describe(queryName, "The query parameter that names the workspace.") }),
      ],
      { error: "write bound, request or {query: NAME}" },
    ),
    "bound: to the workspace that the key was made in; requests must not name one. {query: NAME}: every request names one there. request: the caller passes it with each check.",
  ),
  scopes: describe(
    oneOf(["all", "selected"]),
    "all: what its owner may do. selected: only the scopes that were selected for the key.",
  ),
  acts_as: describe(
    oneOf(["creator", "service_account", "workspace"]),
    "Whose rights bound the key's, as they are at each request: the member's who created it, those of a role named on the key, or the whole workspace's, whatever becomes of its creator.",
  ),
  legacy: describe(
    listOf(text(LEGACY).min(1, LEGACY).max(256, LEGACY), { of: "regular expressions", max: 16 }).default([]),
    "What secrets of imported keys look like; they have no checksum. Single characters and classes only, each repetition bounded, at most two of them of variable length.",
  ),
  max_ttl: describe(
    duration.optional(),
    "The longest life of a new key, at least 1s. Without it keys live until revoked.",
  ),
  rotation_overlap: describe(
    duration.default("24h"),
    "How long the old secret works after a rotation that states no overlap. At most 30d.",
  ),
});

const scope = fields({
  description: describe(prose.default(""), "For people."),
  grants: describe(
    listOf(right, { of: "permissions", max: 1000 }).optional(),
    "The permissions that it grants. Default: the one of the same name.",
  ),
  requires: describe(
    gate.default({}),
    "What a workspace must have for the scope to be selected or used there.",
  ),
  shadow: describe(
    flag.default(false),
    "true: a key that lacks what the scope grants is allowed, and told of in shadow_reason; for adoption. Role, plan and workspace are checked as ever.",
  ),
});

const LOCATION = "write path. and a parameter of the route, such as path.location_id";
const location = text(LOCATION).regex(/^path\.[A-Za-z_][A-Za-z0-9_]{0,63}$/, LOCATION);
const MATCH = 'write a method and a path, such as "GET /items/:id"';

const route = fields({
  match: describe(
    text(MATCH)
      .max(2048, MATCH)
      .regex(/^\S+ \S+$/, MATCH),
    'The method and the path below base_path, such as "GET /items/:id". A parameter is a whole segment. HEAD follows GET.',
  ),
  permission: describe(right.optional(), "What the route needs: one of `permissions`."),
  cost: describe(cost.optional(), "Points. Default: the permission's."),
  location: describe(
    z.union([location, listOf(location, { of: "such parameters", max: 8 })], { error: LOCATION }).optional(),
    "The path parameters that name locations.",
  ),
  workspace: describe(
    oneOf(["none"]).optional(),
    "none: the route acts in no workspace, so a request need not name one.",
  ),
  access: describe(
    oneOf(["public"]).optional(),
    "public: needs no key, such as a browser's preflight. Nothing is charged.",
  ),
});

const ENTRY_KEY =
  "write an entry's key, such as remote_address: letters, digits and _ . : / -, beginning with a letter or digit, at most 128 long";
const entryKey = text(ENTRY_KEY).regex(/^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}$/, ENTRY_KEY);
const ENTRY_VALUE = 'write a text such as "/login", or "*" for any value; put a number in quotes';
const entryValue = text(ENTRY_VALUE).min(1, ENTRY_VALUE).max(1024, "write at most 1024 characters");

const limit = fields({
  name: describe(name, "Stands in answers, headers and metrics."),
  per: describe(
    oneOf(["key", "user", "workspace", "api", "descriptor"]),
    "Whose points: each key's, each member's, each workspace's, or one sum for the api. Where a request has no member or no workspace, it counts by key. descriptor: each set of values that a gateway's rate limit filter sends; no check of a key is charged.",
  ),
  descriptor: describe(
    mapOf(entryKey, entryValue, { of: 'a value, or "*" for any', max: 16 }).optional(),
    'With `per: descriptor`: the entries of the descriptors that it counts, such as {remote_address: "*", path: /login}.',
  ),
  points: describe(points, "Points in a window."),
  plan_points: describe(
    mapOf(name, points, { of: "points", max: 64 }).default({}),
    "By plan, instead of `points`.",
  ),
  environments: describe(
    listOf(name, { of: "environments", max: 32 }).default([]),
    "Applies to keys of these environments only. Default: to all.",
  ),
  window: describe(duration, "100ms to 30d."),
  shape: describe(
    oneOf(["sliding", "fixed", "bucket"]).default("sliding"),
    "sliding: never more than the points in any interval of the window's length. fixed: a window starts with its first charge; up to twice the points around an edge. bucket: smooth refill; likewise.",
  ),
  block: describe(
    duration.optional(),
    "How long everything is refused after a call that would exceed the limit, 100ms to 30d. Default: no block.",
  ),
  shadow: describe(
    flag.default(false),
    "true: count, report in shadow_reason what the limit would refuse, and never refuse; for introducing one.",
  ),
  warn_at: describe(
    share.default(0.9),
    "What is admitted with at least this share of the points spent is counted in the metric tollgate_points_near_limit_total.",
  ),
});

export const policySchema = fields({
  api: describe(name, "The policy's name."),
  directory: describe(
    name.optional(),
    "The set of workspaces and members that the policy reads; several policies may share one. Default: the api's name.",
  ),
  hosts: describe(
    listOf(
      z.union(
        [
          host,
          fields({
            host: describe(host, "A host."),
            environment: describe(name, "Only keys of this environment are valid there."),
          }),
        ],
        { error: HOST },
      ),
      { of: "hosts", max: 256 },
    ).default([]),
    "The hosts that requests of this api come to; exact, or *.example.com for all below.",
  ),
  base_path: describe(
    text(BASE_PATH)
      .max(256, BASE_PATH)
      .regex(/^(\/[^/\s]+)*$/, BASE_PATH)
      .default(""),
    "What all paths of `routes` begin with.",
  ),
  https: describe(
    oneOf(["required", "any"]).default("required"),
    "required: requests that are known to come over plain HTTP are refused.",
  ),
  enforcement: describe(
    oneOf(["enforce", "shadow"]).default("enforce"),
    "shadow: decide, count and report, and never refuse; for adoption.",
  ),
  tag: describe(
    oneOf(["workspace", "api"]).default("workspace"),
    "What Redis Cluster places buckets by. api: all of this api lie in one slot, so that limits per api, or per key where keys name their workspace, can stand beside others; one node then counts the whole api.",
  ),
  on_outage: describe(
    oneOf(["deny", "local", "allow"]).default("local"),
    "What happens to points while their store does not answer: refuse, count a share of the limit in each replica, or let pass. The last two are marked degraded.",
  ),
  on_error: describe(
    oneOf(["deny", "gateway"]).default("deny"),
    "What a gateway does when no decision can be made, such as with the database gone: refuse with 503 (deny), or what it is itself configured to do on errors (gateway).",
  ),
  grace: describe(
    duration.default("0s"),
    "How long keys and workspaces that a replica knows go on working while Postgres does not answer, after its lease of a second; marked degraded. A replica that dies holds up revocations for so long. At most 5m.",
  ),
  plans: describe(listOf(name, { of: "plans", max: 64 }).default([]), "Names of plans, lowest first."),
  requires: describe(gate.default({}), "What a workspace must have for keys to be created and used there."),
  allowed_cidrs: describe(
    listOf(text('write an address range, such as "10.0.0.0/8"').max(64), {
      of: "address ranges",
      max: 256,
    }).default([]),
    "Clients of all keys must come from one of these. Default: from anywhere.",
  ),
  locations: describe(
    fields({ query: describe(queryName, "The query parameter that names a location.") }).optional(),
    "Where requests name locations, besides the routes' `location`.",
  ),
  write_implies_read: describe(
    flag.default(false),
    "A scope x.write also grants the permission x.read, where there is one.",
  ),
  metadata_upstream: describe(
    listOf(
      text("write a metadata key").regex(
        /^[A-Za-z0-9_.-]{1,64}$/,
        "write a metadata key: letters, digits, . _ and -",
      ),
      {
        of: "metadata keys",
        max: 32,
      },
    ).default([]),
    "The entries of a key's metadata that the service behind is told.",
  ),
  permissions: describe(
    mapOf(right, permission, { of: "a cost", max: 1000 }),
    "Everything that can be asked for, each with its cost in points.",
  ),
  roles: describe(
    mapOf(name, role, { of: "a role", max: 200 }),
    "What members may do. A new permission is nobody's until a role has it.",
  ),
  key_types: describe(mapOf(name, keyType, { of: "a key type", max: 32 }), "The kinds of keys."),
  scopes: describe(
    mapOf(right, scope, { of: "a scope; {} grants the permission of the same name", max: 1000 }).default({}),
    "What can be selected for a key.",
  ),
  presets: describe(
    mapOf(right, listOf(pattern, { of: "scopes, or patterns such as *.read", max: 1000 }), {
      of: "a list of scopes",
      max: 200,
    }).default({}),
    "Names for several scopes; what they stand for is asked at each request.",
  ),
  routes: describe(
    listOf(route, { of: "routes", max: 5000 }).default([]),
    "What requests need: exactly one route matches a method and a path, and a fixed segment wins over a parameter.",
  ),
  limits: describe(
    listOf(limit, { of: "limits", max: 16 }).default([]),
    "Limits of points. All that apply are charged together, or none is.",
  ),
});

/** A policy file's content, with defaults filled in. */
export type PolicySource = z.output<typeof policySchema>;

/** The JSON Schema (draft 7, which editors know) of policy files. */
export function policyJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(policySchema, { io: "input", target: "draft-7" }),
    title: "Tollgate policy",
  };
}
