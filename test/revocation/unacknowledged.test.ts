import { afterAll, beforeAll, expect, it } from "vitest";
import { createAuthorizer } from "../../src/core/authorizer.ts";
import { createKeys } from "../../src/core/keys.ts";
import { createPolicySet } from "../../src/core/policy-set.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { type Acknowledgements, createAcknowledgements } from "../../src/replica/acknowledgements.ts";
import { systemClock } from "../../src/replica/lease.ts";
import { audit, memberFields, soon, workspaceFields } from "../contract/records.ts";
import { admin } from "../core/world.ts";
import { createTestReplica, type TestReplica } from "../replica/test-replica.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { type Ban, type CheckSeen, findViolations } from "./history.ts";

let testDatabase: TestDatabase;
let database: PostgresDatabase;
let stores: Stores;

const directory = { directory: "work", workspaceId: "w" };

beforeAll(async () => {
  testDatabase = await createDatabase();
  database = createPostgresDatabase(testDatabase.url);
  await migrate(database, soon());
  stores = createStores(database);
  const options = { sourceVersion: 0n, audit, deadline: soon() };
  await stores.directory.putWorkspace(directory, { ...options, next: () => workspaceFields() });
  await stores.directory.putMember(
    { ...directory, userId: "ann" },
    { ...options, next: () => memberFields() },
  );
});

afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

const KEYS = 10;

/** Keys are revoked through one replica and asked about through another, as the run of real processes does it. */
async function judge(acknowledgementsOf: (writer: TestReplica) => Acknowledgements) {
  const [writer, reader] = [1, 2].map(() => createTestReplica(stores, { clock: systemClock })) as [
    TestReplica,
    TestReplica,
  ];
  const parsed = parsePolicy(policy, "work.yaml");
  if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
  const set = createPolicySet([parsed.policy]);
  const common = { policies: () => set, nowMs: Date.now };
  const keys = createKeys({ ...common, ...writer.stores, forget: () => {} });
  const authorizer = createAuthorizer({
    ...common,
    rights: reader.rights,
    buckets: createInProcessBuckets({ now: Date.now }),
  });
  const { everywhere } = acknowledgementsOf(writer);
  const checks: CheckSeen[] = [];
  const bans: Ban[] = [];

  async function check(secret: string): Promise<void> {
    const sentMs = performance.now();
    const { allowed } = await authorizer.check({ ...anyCheck, key: secret }, admin, soon());
    const answeredMs = performance.now();
    checks.push({ sentMs, answeredMs, process: "reader", credentials: [secret], allowed, reason: "" });
  }

  await Promise.all([writer.rights.start(), reader.rights.start()]);
  try {
    for (let number = 0; number < KEYS; number++) {
      const { key, secret } = await keys.create(anyKey, admin, soon());
      await reader.rights.renew();
      await check(secret);
      const startMs = performance.now();
      await keys.revoke({ target: { keyId: key.id }, reason: "", actorUserId: "" }, admin, soon());
      await everywhere(soon());
      const fromMs = performance.now();
      const tookMs = fromMs - startMs;
      bans.push({ kind: "RevokeKey", credential: secret, fromMs, untilMs: Infinity, tookMs, attempts: 1 });
      await check(secret);
    }
  } finally {
    await Promise.all([writer.rights.stop(soon()), reader.rights.stop(soon())]);
  }
  expect(checks.filter(({ allowed }) => allowed).length).toBeGreaterThanOrEqual(KEYS);
  return findViolations(checks, bans);
}

it("the judge of a run finds nothing where changes wait for the other replicas", async () => {
  const violations = await judge(({ id, rights }) =>
    createAcknowledgements({
      feed: stores.feed,
      own: { id, applied: rights.applied, catchUp: rights.catchUp },
    }),
  );
  expect(violations).toEqual([]);
});

it("the judge of a run finds violations where changes answer at once", async () => {
  const violations = await judge(() => ({ everywhere: async () => {} }));
  expect(violations.length).toBeGreaterThan(0);
});

const policy = `api: work
https: any
permissions: {items.read: 1}
roles:
  member: {permissions: ["*"], creates_keys: true}
scopes: {items.read: {}}
key_types:
  restricted: {prefix: work_, workspace: bound, scopes: selected, acts_as: creator}
limits:
  - {name: plenty, per: key, points: 1000000, window: 1s}
`;

const anyKey = {
  api: "work",
  type: "restricted",
  workspaceId: "w",
  userId: "ann",
  name: "",
  description: "",
  scopes: ["items.read"],
  expireTimeMs: undefined,
  metadata: {},
  allowedCidrs: [],
  role: "",
  requestId: "",
};

const anyCheck = {
  api: "work",
  target: { permission: "items.read" },
  workspaceId: "",
  locationIds: [],
  points: undefined,
  requestId: "",
  mode: "enforce",
  explain: false,
  clientIp: "",
} as const;
