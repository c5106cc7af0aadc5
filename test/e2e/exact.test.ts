import { expect, it } from "vitest";
import { exactRun } from "../exact/exact-run.ts";
import { createDatabase } from "../support/postgres.ts";

// The short form of `npm run test:exact`.
it.each(["deny", "local"] as const)(
  "with faults and on_outage: %s, no limit is exceeded, no charge is made twice or in part, and no block is bent",
  async (onOutage) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const database = await createDatabase();
    const { history, violations, keysWithoutExpiry } = await exactRun({
      seed,
      onOutage,
      decisions: 2500,
      clients: 16,
      subjects: 9,
      databaseUrl: database.url,
      budgetMs: 150,
      clientPauseMs: 60,
      faultPauseMs: 300,
      kills: 0.1,
    });
    await database.drop();
    // The first of them tell most; `npm run test:exact` prints the others.
    expect({ seed, count: violations.length, first: violations.slice(0, 3) }).toEqual({
      seed,
      count: 0,
      first: [],
    });
    expect(keysWithoutExpiry).toEqual([]);
    expect(history.length).toBeGreaterThanOrEqual(2500);
    for (const outcome of ["admitted", "exceeded", "blocked"]) {
      expect(history.map(({ answer }) => answer)).toContainEqual(
        expect.objectContaining({ by: "store", outcome }),
      );
    }
  },
  120_000,
);
