import { createAuthorizer } from "../../src/core/authorizer.ts";
import type { Caller } from "../../src/core/callers.ts";
import type { CheckInput } from "../../src/core/decision.ts";
import { createDirectory } from "../../src/core/directory.ts";
import { type CreateKeyInput, createKeys } from "../../src/core/keys.ts";
import { createPoints } from "../../src/core/points.ts";
import { createPolicySet, type PolicySet } from "../../src/core/policy-set.ts";
import type { BucketStore, KeyUse } from "../../src/core/ports.ts";
import { createRateLimits } from "../../src/core/rate-limits.ts";
import type { AuditEntry, Grant } from "../../src/core/records.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { createTestStores } from "../../src/policy/test-stores.ts";

/** Far enough for any test, on the monotonic clock. */
export const NO_DEADLINE = Number.POSITIVE_INFINITY;

export const admin: Caller = { id: "ct_admin", grants: new Set<Grant>(["admin"]), apis: new Set() };

export function callerWith(grants: readonly Grant[], apis: readonly string[] = []): Caller {
  return { id: `ct_${grants.join("_")}`, grants: new Set(grants), apis: new Set(apis) };
}

function policySetOf(...texts: readonly string[]): PolicySet {
  return createPolicySet(
    texts.map((text) => {
      const parsed = parsePolicy(text, "test.yaml");
      if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems, undefined, 1));
      return parsed.policy;
    }),
  );
}

/** The core on stores in memory, with a clock that the test moves. */
export function createWorld(...policyTexts: readonly string[]) {
  let set = policySetOf(...policyTexts);
  let nowMs = Date.UTC(2026, 0, 1);
  const stores = createTestStores();
  const uses: KeyUse[] = [];
  const policies = () => set;
  const clock = () => nowMs;
  const inProcess = createInProcessBuckets({ now: clock });
  let takes: BucketStore = inProcess;
  const buckets: BucketStore = { take: (request, deadline) => takes.take(request, deadline) };
  const audited: AuditEntry[] = [];
  let auditFailure: Error | undefined;
  const rights = stores.rights;
  const authorizer = createAuthorizer({
    policies,
    rights,
    buckets,
    nowMs: clock,
    onUse: (use) => uses.push(use),
  });
  const points = createPoints({
    policies,
    rights,
    buckets: { ...buckets, giveBack: inProcess.giveBack },
    audit: {
      async write(entry) {
        if (auditFailure !== undefined) throw auditFailure;
        audited.push(entry);
      },
    },
    nowMs: clock,
  });
  const rateLimits = createRateLimits({ policies, rights, buckets, nowMs: clock });
  const forgotten: string[] = [];
  const keys = createKeys({
    policies,
    keys: stores.keys,
    directory: stores.directory,
    nowMs: clock,
    forget: (key) => forgotten.push(key.id),
  });
  const directory = createDirectory({ policies, store: stores.directory, nowMs: clock });

  return {
    keys,
    directory,
    authorizer,
    rateLimits,
    points,
    audited,
    policies,
    uses,
    forgotten,
    now: clock,
    wait(ms: number): void {
      nowMs += ms;
    },
    reload(...texts: readonly string[]): void {
      set = policySetOf(...texts);
    },
    failAudit(error: Error): void {
      auditFailure = error;
    },
    /** Another points' store from now on. */
    replaceBuckets(store: BucketStore): void {
      takes = store;
    },
    putWorkspace(workspaceId: string, fields: object = {}, name = "") {
      return directory.putWorkspace(
        { directory: name, workspaceId, fields, replace: true, sourceVersion: 0n },
        admin,
        NO_DEADLINE,
      );
    },
    putMember(workspaceId: string, userId: string, fields: object, name = "") {
      return directory.putMember(
        {
          directory: name,
          workspaceId,
          userId,
          fields: { allLocations: true, ...fields },
          replace: true,
          sourceVersion: 0n,
        },
        admin,
        NO_DEADLINE,
      );
    },
    createKey(
      fields: Partial<CreateKeyInput> & Pick<CreateKeyInput, "workspaceId" | "userId">,
      caller = admin,
    ) {
      return keys.create(
        {
          api: "",
          type: "",
          name: "test",
          description: "",
          scopes: [],
          expireTimeMs: undefined,
          metadata: {},
          allowedCidrs: [],
          role: "",
          requestId: "",
          ...fields,
        },
        caller,
        NO_DEADLINE,
      );
    },
    async check(key: string, target: string, fields: Partial<CheckInput> = {}, caller = admin) {
      return authorizer.check(
        {
          api: "",
          key,
          target: targetOf(target),
          workspaceId: "",
          locationIds: [],
          points: undefined,
          requestId: "",
          mode: "enforce",
          explain: false,
          clientIp: "",
          ...fields,
        },
        caller,
        NO_DEADLINE,
      );
    },
    async consume(keyId: string, points: number, fields: object = {}) {
      return authorizer.consume(
        {
          api: "",
          subject: { keyId },
          workspaceId: "",
          points,
          requestId: "",
          mode: "enforce",
          ...fields,
        },
        admin,
        NO_DEADLINE,
      );
    },
  };
}

/** "GET /items", or "GET http://host/items", or a permission. */
function targetOf(text: string): CheckInput["target"] {
  const [method = "", url = ""] = text.split(" ");
  if (url === "") return { permission: method };
  const parts = /^(?:(https?):\/\/([^/]*))?(\/.*)$/.exec(url);
  return {
    http: { method, scheme: parts?.[1] ?? "", host: parts?.[2] ?? "", path: parts?.[3] ?? url },
  };
}
