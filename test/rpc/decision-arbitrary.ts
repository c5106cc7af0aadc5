import fc from "fast-check";
import type { Decision, PointsState, Principal } from "../../src/core/decision.ts";
import { type DenyReason, denyReasons } from "../../src/core/deny-reason.ts";
import { anyText } from "../support/mutated-bytes.ts";

const reason = fc.constantFrom(...(Object.keys(denyReasons) as DenyReason[]));
const maybeReason = fc.option(reason, { nil: undefined });
const texts = fc.array(anyText(40), { maxLength: 6 });

/** As stores give them: also fractions, and what is longer than the wire can tell. */
const amount = fc.oneof(
  fc.constant(0),
  fc.nat(300),
  fc.nat(),
  fc.double({ min: 0, max: 2 ** 40, noNaN: true }),
);

const points: fc.Arbitrary<PointsState> = fc.record({
  limitName: anyText(70),
  limit: amount,
  cost: amount,
  remaining: amount,
  windowSeconds: amount,
  resetMs: amount,
  blockedMs: amount,
  shadow: fc.option(fc.record({ reason: maybeReason }), { nil: undefined }),
});

const principal: fc.Arbitrary<Principal> = fc.record({
  api: anyText(64),
  keyId: anyText(64),
  keyName: anyText(300),
  keyType: anyText(20),
  environment: anyText(20),
  workspaceId: anyText(128),
  userId: anyText(128),
  createdBy: anyText(128),
  role: anyText(20),
  plan: anyText(20),
  permissions: texts,
  allLocations: fc.boolean(),
  locationIds: texts,
  metadata: fc.dictionary(anyText(64), anyText(512), { maxKeys: 4 }),
});

const stepName = fc.constantFrom("transport", "key", "points");

/** Decisions of all shapes, also those that the core never makes. */
export const anyDecision: fc.Arbitrary<Decision> = fc.record({
  api: anyText(20),
  allowed: fc.boolean(),
  reason: maybeReason,
  principal: fc.option(principal, { nil: undefined }),
  cost: fc.option(amount, { nil: undefined }),
  limits: fc.array(points, { maxLength: 4 }),
  points: fc.option(points, { nil: undefined }),
  retryAfterMs: amount,
  degraded: fc.array(fc.constantFrom("points_local", "points_skipped", "stale_rights"), { maxLength: 3 }),
  requiredScopes: texts,
  isShadow: fc.boolean(),
  isOverruled: fc.boolean(),
  shadowReason: maybeReason,
  steps: fc.array(fc.record({ name: stepName, passed: fc.boolean(), detail: anyText(200) }), {
    maxLength: 3,
  }),
});
