import { expect, test } from "vitest";
import type { CallerTokenStore } from "../../src/core/ports.ts";
import type { CallerTokenRecord } from "../../src/core/records.ts";
import { audit, callerTokenRecord, digest, soon, unique } from "./records.ts";

/** What every CallerTokenStore must do; `open` answers one that other tests may use too. */
export function callerTokenStoreContract(open: () => CallerTokenStore): void {
  const create = (token: CallerTokenRecord) => open().create(token, { audit, deadline: soon() });

  test("a token is found by its digest, as it was stored", async () => {
    const token = callerTokenRecord({
      name: 'the "gateway"',
      grants: ["check", "consume", "keys", "directory", "admin"],
      apis: ["retool", "retrac"],
      expireTimeMs: 9,
    });
    expect(await create(token)).toMatchObject({ record: token });
    expect(await open().findByDigest(token.digest, soon())).toEqual(token);
    expect(await open().findByDigest(digest(), soon())).toBeUndefined();
  });

  test("a revocation keeps its first time", async () => {
    const token = callerTokenRecord();
    await create(token);
    const revoke = (nowMs: number) => open().revoke(token.id, { nowMs, audit, deadline: soon() });
    const first = await revoke(5);
    expect(first).toMatchObject({ record: { ...token, revokeTimeMs: 5 } });
    expect(await revoke(9)).toEqual({ record: { ...token, revokeTimeMs: 5 }, change: 0n });
    expect(await open().findByDigest(token.digest, soon())).toEqual({ ...token, revokeTimeMs: 5 });
  });

  test("revoking an unknown token is missing", async () => {
    expect(await open().revoke(unique("ct"), { nowMs: 1, audit, deadline: soon() })).toBe("missing");
  });

  test("tokens are listed newest first, each once, over any page size", async () => {
    // Newer than those of other tests.
    const newest = Date.now() * 2;
    const tokens = [1, 3, 3, 2].map((time) => callerTokenRecord({ createTimeMs: newest + time }));
    for (const token of tokens) await create(token);
    const expected = [...tokens]
      .sort((a, b) => b.createTimeMs - a.createTimeMs || (a.id < b.id ? 1 : -1))
      .map(({ id }) => id);
    for (const size of [1, 2, 3]) {
      const listed: string[] = [];
      let after: string | undefined;
      while (listed.length < expected.length) {
        const page: Awaited<ReturnType<CallerTokenStore["list"]>> = await open().list(
          { size, after },
          soon(),
        );
        listed.push(...page.records.map(({ id }) => id));
        after = page.next;
      }
      expect(listed.slice(0, expected.length)).toEqual(expected);
    }
  });
}
