import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type {
  KeyFilter,
  KeySelection,
  KeyStatus,
  KeyStore,
  PageRequest,
  RequestClaim,
} from "../../src/core/ports.ts";
import type { AuditEntry, KeyRecord } from "../../src/core/records.ts";
import { audit, digest, keyRecord, soon, unique } from "./records.ts";

const noFilter: KeyFilter = { apis: [], workspaceId: "", createdBy: "", status: undefined, nowMs: 0 };

/** What every KeyStore must do; `open` answers one that other tests may use too. */
export function keyStoreContract(open: () => KeyStore): void {
  const create = async (key: KeyRecord, claim?: RequestClaim) => {
    const result = await open().create(key, { claim, audit, deadline: soon() });
    if (result === "no_workspace") throw new Error("no workspace was asked for");
    return result;
  };
  const update = (id: string, revision: number, patch: object, claim?: RequestClaim) =>
    open().update(id, { revision, patch, claim, audit, deadline: soon() });
  const list = (filter: Partial<KeyFilter>, page: PageRequest) =>
    open().list({ ...noFilter, ...filter }, page, soon());
  const claimOf = (requestId: string): RequestClaim => ({
    callerId: "ct_test",
    operation: "key.create",
    requestId,
  });

  describe("reading", () => {
    test("a key is found by its digest and by its id, as it was stored", async () => {
      const key = keyRecord({
        workspaceId: "w",
        role: "robot",
        description: "what for",
        scopes: ["items.read", "items.write"],
        disabled: true,
        metadata: { team: "a", constructor: "b" },
        allowedCidrs: ["10.0.0.0/8", "::1/128"],
        expireTimeMs: 8_640_000_000_000_000,
        revokeTimeMs: 1_700_000_000_001,
        revokeReason: "leaked",
        lastUseTimeMs: 1_700_000_000_002,
        previousDigest: digest(),
        previousExpireTimeMs: 1_700_000_000_003,
        previousLastUseTimeMs: 1_700_000_000_004,
      });
      await create(key);
      expect(await open().findByDigest(key.digest, soon())).toEqual(key);
      expect(await open().get(key.id, soon())).toEqual(key);
    });

    test("a key is found by its previous digest", async () => {
      const key = keyRecord({ previousDigest: digest() });
      await create(key);
      expect((await open().findByDigest(key.previousDigest, soon()))?.id).toBe(key.id);
    });

    test("what is not there is undefined, also the empty digest of keys that were never rotated", async () => {
      await create(keyRecord());
      expect(await open().findByDigest(digest(), soon())).toBeUndefined();
      expect(await open().findByDigest("", soon())).toBeUndefined();
      expect(await open().get(unique("key"), soon())).toBeUndefined();
    });

    test("any text comes back as it went in", async () => {
      const text = fc.string({ unit: "grapheme", maxLength: 40 }).filter((value) => !value.includes("\0"));
      const awkward = fc.constantFrom(
        '"',
        "\\",
        "{}",
        "NULL",
        ",",
        "'; drop table keys; --",
        "{a,b}",
        "$1",
        " ",
      );
      const anyText = fc.oneof(text, awkward);
      await fc.assert(
        fc.asyncProperty(
          anyText,
          fc.array(anyText, { maxLength: 5 }),
          fc.dictionary(anyText, anyText, { maxKeys: 5 }),
          async (name, scopes, metadata) => {
            const key = keyRecord({ name, description: name, scopes, metadata });
            await create(key);
            expect(await open().get(key.id, soon())).toEqual(key);
          },
        ),
        { numRuns: 40 },
      );
    });

    test("NUL, which cannot be stored, is the caller's mistake and stores nothing", async () => {
      for (const fields of [{ name: "a\0b" }, { metadata: { a: "\0" } }]) {
        const key = keyRecord(fields);
        await expect(create(key)).rejects.toMatchObject({ name: "TollgateError", code: "invalid_argument" });
        expect(await open().get(key.id, soon())).toBeUndefined();
      }
    });
  });

  describe("create", () => {
    test("a second key with a digest that is in use is refused, and the first stays", async () => {
      const key = keyRecord();
      await create(key);
      const second = keyRecord({ digest: key.digest });
      await expect(create(second)).rejects.toMatchObject({ name: "TollgateError", code: "already_exists" });
      expect((await open().findByDigest(key.digest, soon()))?.id).toBe(key.id);
    });

    test("a repeated request_id stores nothing and names the key that the first one made", async () => {
      const claim = claimOf(unique("request"));
      const key = keyRecord();
      expect(await create(key, claim)).toMatchObject({ record: key });
      const repeat = keyRecord();
      expect(await create(repeat, claim)).toEqual({ usedBy: key.id });
      expect(await open().get(repeat.id, soon())).toBeUndefined();
    });

    test("of many at once with one request_id exactly one makes a key", async () => {
      const claim = claimOf(unique("request"));
      const results = await Promise.all(Array.from({ length: 12 }, () => create(keyRecord(), claim)));
      const made = results.filter((result) => "record" in result);
      expect(made).toHaveLength(1);
      const id = made.map(({ record }) => record.id)[0];
      const repeats = results.filter((result) => "usedBy" in result);
      expect(repeats).toEqual(Array(11).fill({ usedBy: id }));
    });

    test("a request_id is each caller's and operation's own", async () => {
      const requestId = unique("request");
      const claims: RequestClaim[] = [
        { callerId: "a", operation: "key.create", requestId },
        { callerId: "b", operation: "key.create", requestId },
        { callerId: "a", operation: "key.rotate", requestId },
      ];
      for (const claim of claims) expect(await create(keyRecord(), claim)).toHaveProperty("record");
    });

    test("a claim whose key could not be stored is free again", async () => {
      const claim = claimOf(unique("request"));
      const taken = keyRecord();
      await create(taken);
      await expect(create(keyRecord({ digest: taken.digest }), claim)).rejects.toMatchObject({
        code: "already_exists",
      });
      expect(await create(keyRecord(), claim)).toHaveProperty("record");
    });

    test("changes are numbered in order", async () => {
      const first = await create(keyRecord());
      const second = await create(keyRecord());
      if (!("change" in first && "change" in second)) throw new Error("a key was not made");
      expect(second.change).toBeGreaterThan(first.change);
    });
  });

  describe("update", () => {
    test("sets what the patch names, empties what it names as undefined, and leaves the rest", async () => {
      const key = keyRecord({ description: "old", expireTimeMs: 5, metadata: { a: "b" } });
      await create(key);
      const patched = { ...key, name: "new", expireTimeMs: undefined, scopes: ["x"], revision: 2 };
      const written = await update(key.id, 1, { name: "new", expireTimeMs: undefined, scopes: ["x"] });
      expect(written).toMatchObject({ record: patched });
      expect(await open().get(key.id, soon())).toEqual(patched);
    });

    test("an old revision is a conflict and changes nothing", async () => {
      const key = keyRecord();
      await create(key);
      await update(key.id, 1, { name: "first" });
      expect(await update(key.id, 1, { name: "second" })).toBe("conflict");
      expect(await open().get(key.id, soon())).toMatchObject({ name: "first", revision: 2 });
    });

    test("of many at once on one revision exactly one wins", async () => {
      const key = keyRecord();
      await create(key);
      const results = await Promise.all(
        Array.from({ length: 12 }, (_, index) => update(key.id, 1, { name: `name ${index}` })),
      );
      expect(results.filter((result) => result === "conflict")).toHaveLength(11);
      expect(await open().get(key.id, soon())).toMatchObject({ revision: 2 });
    });

    test("an unknown key is missing", async () => {
      expect(await update(unique("key"), 1, { name: "x" })).toBe("missing");
    });

    test("after a rotation both digests find the key, and the one before them does not", async () => {
      const key = keyRecord({ previousDigest: digest() });
      await create(key);
      const next = digest();
      await update(key.id, 1, { digest: next, previousDigest: key.digest, previousExpireTimeMs: 9 });
      expect((await open().findByDigest(next, soon()))?.id).toBe(key.id);
      expect((await open().findByDigest(key.digest, soon()))?.id).toBe(key.id);
      expect(await open().findByDigest(key.previousDigest, soon())).toBeUndefined();
      await update(key.id, 2, { previousDigest: "", previousExpireTimeMs: undefined });
      expect(await open().findByDigest(key.digest, soon())).toBeUndefined();
      expect(await open().get(key.id, soon())).toMatchObject({ previousDigest: "", digest: next });
    });

    test("a repeated request_id is told before the conflict that it would be", async () => {
      const key = keyRecord();
      await create(key);
      const claim: RequestClaim = {
        callerId: "ct",
        operation: "key.rotate",
        requestId: unique("request"),
      };
      expect(await update(key.id, 1, { name: "rotated" }, claim)).toHaveProperty("record");
      expect(await update(key.id, 1, { name: "again" }, claim)).toEqual({ usedBy: key.id });
      expect(await open().get(key.id, soon())).toMatchObject({ name: "rotated", revision: 2 });
    });

    test("a conflict leaves its request_id unused", async () => {
      const key = keyRecord();
      await create(key);
      const claim = claimOf(unique("request"));
      expect(await update(key.id, 7, { name: "x" }, claim)).toBe("conflict");
      expect(await update(key.id, 1, { name: "y" }, claim)).toHaveProperty("record");
    });
  });

  describe("revokeAll", () => {
    const revokeAll = (
      ids: readonly string[],
      auditOf: (ids: readonly string[]) => AuditEntry = () => audit,
    ) => open().revokeAll(ids, { nowMs: 77, reason: "left", auditOf, deadline: soon() });
    const get = (id: string) => open().get(id, soon());

    test("revokes the keys with their time and reason, and leaves the others", async () => {
      const keys = [keyRecord(), keyRecord({ disabled: true }), keyRecord({ expireTimeMs: 1 })];
      const other = keyRecord();
      for (const key of [...keys, other]) await create(key);
      const written = await revokeAll(keys.map(({ id }) => id));
      expect(written.record).toEqual(keys.map(({ id }) => id).sort());
      expect(written.change).toBeGreaterThan(0n);
      for (const key of keys) {
        const revoked = { ...key, revokeTimeMs: 77, revokeReason: "left", revision: 2 };
        expect(await get(key.id)).toEqual(revoked);
      }
      expect(await get(other.id)).toEqual(other);
    });

    test("what was revoked before keeps its time and reason; what is unknown is passed over", async () => {
      const before = keyRecord({ revokeTimeMs: 5, revokeReason: "leaked" });
      const key = keyRecord();
      await create(before);
      await create(key);
      const asked: unknown[] = [];
      const written = await revokeAll([before.id, key.id, key.id, unique("key")], (ids) => {
        asked.push(ids);
        return audit;
      });
      expect(written.record).toEqual([key.id]);
      expect(asked).toEqual([[key.id]]);
      expect(await get(before.id)).toEqual(before);
    });

    test("where none is left there is neither a change nor an entry in the audit log", async () => {
      const key = keyRecord({ revokeTimeMs: 5 });
      await create(key);
      for (const ids of [[], [key.id], [unique("key")]]) {
        const written = await revokeAll(ids, () => {
          throw new Error("asked for an entry");
        });
        expect(written).toEqual({ record: [], change: 0n });
      }
    });

    test("what fails on the way leaves every key as it was", async () => {
      const keys = [keyRecord(), keyRecord()];
      for (const key of keys) await create(key);
      const failing = revokeAll(
        keys.map(({ id }) => id),
        () => {
          throw new Error("no entry");
        },
      );
      await expect(failing).rejects.toThrow("no entry");
      for (const key of keys) expect(await get(key.id)).toEqual(key);
    });

    test("of many at once, in any order, each key is revoked by exactly one, and changes beside it are kept", async () => {
      const keys = Array.from({ length: 20 }, () => keyRecord());
      for (const key of keys) await create(key);
      const ids = keys.map(({ id }) => id);
      const [renamed, ...all] = await Promise.all([
        update(ids[7] ?? "", 1, { name: "renamed" }),
        ...Array.from({ length: 6 }, (_, index) => revokeAll(index % 2 === 0 ? ids : [...ids].reverse())),
      ]);
      expect(all.flatMap(({ record }) => record).sort()).toEqual([...ids].sort());
      expect(await get(ids[7] ?? "")).toMatchObject({
        revokeTimeMs: 77,
        name: renamed === "conflict" ? "name" : "renamed",
        revision: renamed === "conflict" ? 2 : 3,
      });
    });

    test("the keys of a selection are those of its api, workspace and creator that are not revoked, newest first", async () => {
      const workspaceId = unique("w");
      const createdBy = unique("u");
      const both = keyRecord({ workspaceId, createdBy, createTimeMs: 1 });
      const byWorkspace = keyRecord({ workspaceId, createTimeMs: 2, disabled: true });
      const byCreator = keyRecord({ createdBy, createTimeMs: 3, expireTimeMs: 4 });
      const others = [
        keyRecord({ workspaceId, createdBy, api: "retool" }),
        keyRecord({ workspaceId, createdBy, revokeTimeMs: 5 }),
        keyRecord(),
      ];
      for (const key of [both, byWorkspace, byCreator, ...others]) await create(key);
      const select = async (fields: Partial<KeySelection>, limit = 9) => {
        const selection = { api: "retrac", workspaceId: "", createdBy: "", ...fields };
        const found = await open().listUnrevoked(selection, limit, soon());
        return found.map((key) => [key.id, key.workspaceId]);
      };
      expect(await select({ workspaceId, createdBy })).toEqual([[both.id, workspaceId]]);
      expect(await select({ workspaceId })).toEqual([
        [byWorkspace.id, workspaceId],
        [both.id, workspaceId],
      ]);
      expect(await select({ createdBy })).toEqual([
        [byCreator.id, ""],
        [both.id, workspaceId],
      ]);
      expect(await select({ createdBy }, 1)).toEqual([[byCreator.id, ""]]);
    });
  });

  describe("list", () => {
    const pages = async (filter: Partial<KeyFilter>, size: number): Promise<string[]> => {
      const ids: string[] = [];
      let after: string | undefined;
      do {
        const page: Awaited<ReturnType<KeyStore["list"]>> = await list(filter, { size, after });
        expect(page.records.length).toBeLessThanOrEqual(size);
        ids.push(...page.records.map(({ id }) => id));
        after = page.next;
      } while (after !== undefined);
      return ids;
    };

    test("newest first, every key once, over any page size, also where times are equal", async () => {
      const workspaceId = unique("w");
      const times = [5, 3, 3, 3, 9, 1, 9];
      const keys = times.map((createTimeMs) => keyRecord({ workspaceId, createTimeMs }));
      for (const key of keys) await create(key);
      const expected = [...keys]
        .sort((a, b) => b.createTimeMs - a.createTimeMs || (a.id < b.id ? 1 : -1))
        .map(({ id }) => id);
      for (const size of [1, 2, 3, 7, 100]) expect(await pages({ workspaceId }, size)).toEqual(expected);
    });

    test("a page that ends with the last key has no next", async () => {
      const workspaceId = unique("w");
      await create(keyRecord({ workspaceId }));
      await create(keyRecord({ workspaceId }));
      expect((await list({ workspaceId }, { size: 2, after: undefined })).next).toBeUndefined();
    });

    test("filters by api, workspace and creator, and by all of them", async () => {
      const workspaceId = unique("w");
      const createdBy = unique("u");
      const both = keyRecord({ workspaceId, createdBy, api: "retool" });
      const byWorkspace = keyRecord({ workspaceId, api: "retrac" });
      const byCreator = keyRecord({ createdBy, api: "retrac" });
      for (const key of [both, byWorkspace, byCreator]) await create(key);
      expect(new Set(await pages({ workspaceId }, 9))).toEqual(new Set([both.id, byWorkspace.id]));
      expect(new Set(await pages({ createdBy }, 9))).toEqual(new Set([both.id, byCreator.id]));
      expect(await pages({ workspaceId, createdBy }, 9)).toEqual([both.id]);
      expect(await pages({ workspaceId, apis: ["retrac"] }, 9)).toEqual([byWorkspace.id]);
      expect((await pages({ workspaceId, apis: ["retrac", "retool"] }, 9)).length).toBe(2);
      expect(await pages({ workspaceId, apis: ["other"] }, 9)).toEqual([]);
    });

    test("each key has exactly one status, by the time asked for", async () => {
      const workspaceId = unique("w");
      const nowMs = 1000;
      const expected: Record<KeyStatus, KeyRecord[]> = {
        active: [keyRecord({ workspaceId }), keyRecord({ workspaceId, expireTimeMs: 1001 })],
        disabled: [keyRecord({ workspaceId, disabled: true })],
        expired: [
          keyRecord({ workspaceId, expireTimeMs: 1000 }),
          keyRecord({ workspaceId, expireTimeMs: 1, disabled: true }),
        ],
        revoked: [
          keyRecord({ workspaceId, revokeTimeMs: 5 }),
          keyRecord({ workspaceId, revokeTimeMs: 5, expireTimeMs: 1, disabled: true }),
        ],
      };
      for (const keys of Object.values(expected)) for (const key of keys) await create(key);
      for (const [status, keys] of Object.entries(expected)) {
        const ids = await pages({ workspaceId, status: status as KeyStatus, nowMs }, 9);
        expect(new Set(ids), status).toEqual(new Set(keys.map(({ id }) => id)));
      }
    });

    test("a page token of one's own making is refused", async () => {
      await expect(list({}, { size: 1, after: "junk" })).rejects.toMatchObject({ code: "invalid_argument" });
    });
  });

  describe("recordUses", () => {
    test("raises the times of each secret, never lowers one, and passes unknown keys over", async () => {
      const key = keyRecord();
      const other = keyRecord({ lastUseTimeMs: 50 });
      await create(key);
      await create(other);
      await open().recordUses(
        [
          { keyId: key.id, secret: "current", timeMs: 10 },
          { keyId: key.id, secret: "current", timeMs: 30 },
          { keyId: key.id, secret: "current", timeMs: 20 },
          { keyId: key.id, secret: "previous", timeMs: 5 },
          { keyId: other.id, secret: "current", timeMs: 40 },
          { keyId: unique("key"), secret: "current", timeMs: 99 },
        ],
        soon(),
      );
      expect(await open().get(key.id, soon())).toEqual({
        ...key,
        lastUseTimeMs: 30,
        previousLastUseTimeMs: 5,
      });
      expect(await open().get(other.id, soon())).toEqual(other);
      await open().recordUses([], soon());
    });

    test("batches of the same keys in other orders at once do not fail", async () => {
      const keys = Array.from({ length: 20 }, () => keyRecord());
      for (const key of keys) await create(key);
      const uses = keys.map(({ id }, index) => ({
        keyId: id,
        secret: "current" as const,
        timeMs: index + 1,
      }));
      await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          open().recordUses(index % 2 === 0 ? uses : [...uses].reverse(), soon()),
        ),
      );
      expect((await open().get(keys[19]?.id ?? "", soon()))?.lastUseTimeMs).toBe(20);
    });
  });

  test("a deadline that has passed is an error, and nothing is stored", async () => {
    const key = keyRecord();
    const past = performance.now() - 1;
    await expect(open().create(key, { claim: undefined, audit, deadline: past })).rejects.toMatchObject({
      name: "TollgateError",
      code: "unavailable",
    });
    await expect(open().get(key.id, past)).rejects.toMatchObject({ code: "unavailable" });
    expect(await open().get(key.id, soon())).toBeUndefined();
  });
}
