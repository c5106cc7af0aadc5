import { z } from "zod";
import { DURATION_PATTERN } from "./duration.ts";
import { fields } from "./schema-parts.ts";

/**
 * What a policy's test file may hold: a small world, and cases that are played in it, each from the
 * start. docs/policy.md explains it.
 */

const id = z
  .string({ error: "write an id" })
  .regex(/^[!#-&(-+\--~]{1,128}$/, "write an id of printable ASCII without spaces, commas and quotes");
const ids = z.array(id, { error: "write a list of ids" });
const words = z.string({ error: "write a text" });
/** As B8 of many a documentation has it: one string, with spaces between. */
const spaced = z
  .union([words, z.array(words)], { error: "write names with spaces between, or a list" })
  .transform((value) => [value].flat().flatMap((text) => text.split(" ").filter((word) => word !== "")));
const DURATION = "write a duration such as 60s";
const duration = z.string({ error: DURATION }).regex(DURATION_PATTERN, DURATION);
const count = z
  .number({ error: "write a whole number" })
  .int("write a whole number")
  .min(0, "write 0 or more");
const flag = z.boolean({ error: "write true or false" });

const member = z.union(
  [
    id,
    fields({
      role: words,
      /** Default: all. */
      locations: z.union([z.literal("all"), ids], { error: "write all, or a list of ids" }).default("all"),
    }),
  ],
  { error: "write a role, or {role: …, locations: […]}" },
);

const workspaceFields = {
  plan: words.optional(),
  features: z.array(words).optional(),
  withheld_scopes: spaced.optional(),
  suspended: flag.optional(),
};

const workspace = fields({
  ...workspaceFields,
  members: z.record(id, member).default({}),
});

const keyFields = {
  type: words,
  workspace: id,
  creator: id,
  scopes: spaced.default([]),
  name: words.default("a key"),
  description: words.default(""),
  role: words.default(""),
  expires_after: duration.optional(),
  allowed_cidrs: z.array(words).default([]),
  metadata: z.record(words, words).default({}),
};

/** What a check or a change is expected to answer; only what is written is compared. */
const expected = fields({
  /** A refusal's reason; without one the request is expected to be allowed. */
  reason: words.optional(),
  /** Of what cannot be decided or done: the error's reason. */
  error: words.optional(),
  status: count.optional(),
  cost: count.optional(),
  limit: count.optional(),
  remaining: count.optional(),
  window: duration.optional(),
  /** The route that matched, as the policy writes it. */
  route: words.optional(),
  retry_after: duration.optional(),
  blocked: duration.optional(),
  workspace: words.optional(),
  user: words.optional(),
  role: words.optional(),
  plan: words.optional(),
  environment: words.optional(),
  permissions: spaced.optional(),
  locations: z.union([z.literal("all"), ids], { error: "write all, or a list of ids" }).optional(),
  metadata: z.record(words, words).optional(),
  required_scopes: spaced.optional(),
  shadow_reason: words.optional(),
  /** Of keys as they are shown. */
  name: words.optional(),
  description: words.optional(),
  scopes: spaced.optional(),
  preview: words.optional(),
  key_status: words.optional(),
  secret: z.literal("hidden", { error: "write hidden" }).optional(),
});

const expectation = z.union([words, expected], {
  error: "write allowed, done, a reason such as KEY_MISSING, or a map",
});

const REQUEST = 'write a method and a path, such as "GET /items?workspaceId=acme"';
const request = z.string({ error: REQUEST }).regex(/^[A-Z]+ \S+$/, REQUEST);

const step = fields({
  /** Checks. */
  request: z.union([request, z.array(request).min(1, REQUEST)], { error: REQUEST }).optional(),
  permission: words.optional(),
  /** One of the keys; or a secret as it is; or only a cookie, which is no credential. */
  key: words.optional(),
  secret: words.optional(),
  cookie: words.optional(),
  workspace: words.optional(),
  locations: ids.optional(),
  points: count.optional(),
  request_id: words.optional(),
  mode: z.enum(["enforce", "peek", "record"], { error: "write one of enforce, peek, record" }).optional(),
  client_ip: words.optional(),
  times: z.number({ error: "write a whole number" }).int().min(1).max(100_000).optional(),
  /** Time that passes. */
  wait: duration.optional(),
  /** Changes of keys. */
  create_key: fields({ as: words.optional(), ...keyFields }).optional(),
  rotate_key: z
    .strictObject({ key: words, actor: id, overlap: duration.optional(), as: words.optional() })
    .optional(),
  update_key: z
    .strictObject({ key: words, actor: id, scopes: spaced.optional(), disabled: flag.optional() })
    .optional(),
  revoke_key: fields({ key: words, actor: id.optional() }).optional(),
  revoke_secret: fields({ of: words }).optional(),
  show_key: words.optional(),
  /** Changes of the world; only what is written changes. */
  set_workspace: z.record(id, fields(workspaceFields)).optional(),
  set_member: z
    .strictObject({
      workspace: id,
      user: id,
      role: words.optional(),
      locations: z.union([z.literal("all"), ids]).optional(),
    })
    .optional(),
  remove_member: fields({ workspace: id, user: id }).optional(),
  expect: expectation.optional(),
});

export const testFileSchema = fields({
  policy: words,
  /** What requests without a host of their own are sent to, such as https://api.example.com. */
  origin: z
    .string({ error: "write an origin" })
    .regex(/^https?:\/\/[^/\s]+$/, "write an origin such as https://api.example.com")
    .optional(),
  workspaces: z.record(id, workspace).default({}),
  /** Made before a case begins, by their creators; those that it names. */
  keys: z.record(words, fields(keyFields)).default({}),
  cases: z
    .array(
      fields({
        name: words,
        /** Ids of the rules that the case proves. */
        rules: z.array(words).default([]),
        /** The key of steps that name none. */
        key: words.optional(),
        steps: z.array(step).min(1, "write at least one step"),
      }),
    )
    .min(1, "write at least one case"),
});

export type TestFile = z.output<typeof testFileSchema>;
export type TestCase = TestFile["cases"][number];
export type TestStep = TestCase["steps"][number];
export type TestWorkspace = TestFile["workspaces"][string];
export type TestKey = TestFile["keys"][string];
export type Expected = z.output<typeof expected>;
