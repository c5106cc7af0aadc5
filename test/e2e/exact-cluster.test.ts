import { expect, it } from "vitest";
import { clusterRun } from "../exact/cluster-run.ts";
import { createDatabase } from "../support/postgres.ts";

// The short form of `npm run test:exact -- --cluster`.
it("while slots move, masters change by consent and connections are cut, no limit is exceeded and no charge made twice or lost", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const database = await createDatabase();
  const { history, faults, violations, keysWithoutExpiry } = await clusterRun({
    seed,
    onOutage: "deny",
    decisions: 2500,
    clients: 16,
    subjects: 48,
    databaseUrl: database.url,
    budgetMs: 150,
    clientPauseMs: 350,
    faultPauseMs: 300,
    killsMasterEvery: 0,
    replicasBehindMs: 0,
  });
  await database.drop();
  // The first of them tell most; `npm run test:exact -- --cluster` prints the others.
  expect({ seed, count: violations.length, first: violations.slice(0, 3) }).toEqual({
    seed,
    count: 0,
    first: [],
  });
  expect(keysWithoutExpiry).toEqual([]);
  expect(history.length).toBeGreaterThanOrEqual(2500);
  expect(faults.slice(0, 3).map(({ kind }) => kind)).toEqual(["cut", "moved slots", "failover"]);
  expect(faults[1]?.keys).toBeGreaterThan(0);
  for (const outcome of ["admitted", "exceeded", "blocked"]) {
    expect(history.map(({ answer }) => answer)).toContainEqual(
      expect.objectContaining({ by: "store", outcome }),
    );
  }
}, 120_000);
