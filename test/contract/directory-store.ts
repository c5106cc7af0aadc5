import { describe, expect, test } from "vitest";
import type {
  ChangeFeed,
  DirectoryStore,
  KeyStore,
  MemberFields,
  WorkspaceFields,
} from "../../src/core/ports.ts";
import type { MemberRecord, WorkspaceRecord } from "../../src/core/records.ts";
import { audit, keyRecord, memberFields, soon, unique, workspaceFields } from "./records.ts";

export interface DirectoryStores {
  readonly directory: DirectoryStore;
  /** Of the same database. */
  readonly keys: KeyStore;
  readonly feed: ChangeFeed;
}

/** What every DirectoryStore must do; `open` answers one that other tests may use too. */
export function directoryStoreContract(open: () => DirectoryStores): void {
  const put = (
    id: { directory: string; workspaceId: string },
    next: WorkspaceFields | ((stored: WorkspaceRecord | undefined) => WorkspaceFields),
    sourceVersion = 0n,
  ) =>
    open().directory.putWorkspace(id, {
      sourceVersion,
      next: typeof next === "function" ? next : () => next,
      audit,
      deadline: soon(),
    });
  const get = ({ directory, workspaceId }: { directory: string; workspaceId: string }) =>
    open().directory.getWorkspace(directory, workspaceId, soon());
  const remove = (id: { directory: string; workspaceId: string }, apis: readonly string[] = []) =>
    open().directory.deleteWorkspace(id, {
      apis,
      revokeReason: "workspace deleted",
      nowMs: 77,
      audit,
      deadline: soon(),
    });
  const putMember = (
    id: { directory: string; workspaceId: string; userId: string },
    next: MemberFields | ((stored: MemberRecord | undefined) => MemberFields),
    sourceVersion = 0n,
  ) =>
    open().directory.putMember(id, {
      sourceVersion,
      next: typeof next === "function" ? next : () => next,
      audit,
      deadline: soon(),
    });
  const getMember = ({
    directory,
    workspaceId,
    userId,
  }: {
    directory: string;
    workspaceId: string;
    userId: string;
  }) => open().directory.getMember(directory, workspaceId, userId, soon());
  const removeMember = (id: { directory: string; workspaceId: string; userId: string }, sourceVersion = 0n) =>
    open().directory.removeMember(id, { sourceVersion, audit, deadline: soon() });
  const newId = () => ({ directory: unique("d"), workspaceId: "w" });
  const newMember = async () => {
    const id = newId();
    await put(id, workspaceFields());
    return { ...id, userId: "u" };
  };

  describe("workspaces", () => {
    test("a workspace comes back as it was put, and in no other directory", async () => {
      const id = newId();
      const fields = workspaceFields({
        name: 'Ä "name"',
        features: ["api", "b"],
        withheldScopes: ["users"],
        suspended: true,
      });
      const expected = {
        ...fields,
        directory: id.directory,
        id: "w",
        sourceVersion: 2n ** 64n - 1n,
        revision: 1,
      };
      expect(await put(id, fields, 2n ** 64n - 1n)).toMatchObject({ record: expected });
      expect(await get(id)).toEqual(expected);
      expect(await get({ ...id, directory: unique("d") })).toBeUndefined();
    });

    test("next is given what is stored, and its fields replace it under a higher revision", async () => {
      const id = newId();
      const asked: (WorkspaceRecord | undefined)[] = [];
      await put(id, (stored) => {
        asked.push(stored);
        return workspaceFields({ plan: "free" });
      });
      await put(id, (stored) => {
        asked.push(stored);
        return workspaceFields({ plan: `${stored?.plan}-plus` });
      });
      expect(asked).toEqual([undefined, expect.objectContaining({ plan: "free", revision: 1 })]);
      expect(await get(id)).toMatchObject({ plan: "free-plus", revision: 2 });
    });

    test("what next throws is thrown as it is, and nothing is stored", async () => {
      const id = newId();
      const thrown = new Error("refused by policy");
      const refuse = () => {
        throw thrown;
      };
      await expect(put(id, refuse)).rejects.toBe(thrown);
      expect(await get(id)).toBeUndefined();
      await put(id, workspaceFields());
      await expect(put(id, refuse)).rejects.toBe(thrown);
      expect(await get(id)).toMatchObject({ revision: 1 });
    });

    test("of puts at the same time none is lost", async () => {
      const id = newId();
      await Promise.all(
        Array.from({ length: 16 }, (_, index) =>
          put(id, (stored) => workspaceFields({ features: [...(stored?.features ?? []), `f${index}`] })),
        ),
      );
      const stored = await get(id);
      expect(stored?.features.length).toBe(16);
      expect(new Set(stored?.features).size).toBe(16);
      expect(stored?.revision).toBe(16);
    });

    test("an older source_version is stale, the same and a newer one are taken", async () => {
      const id = newId();
      await put(id, workspaceFields({ name: "five" }), 5n);
      expect(await put(id, workspaceFields({ name: "four" }), 4n)).toBe("stale");
      expect(await get(id)).toMatchObject({ name: "five", sourceVersion: 5n });
      await put(id, workspaceFields({ name: "five again" }), 5n);
      await put(id, workspaceFields({ name: "six" }), 6n);
      expect(await get(id)).toMatchObject({ name: "six", sourceVersion: 6n });
    });

    test("source_version 0 is always taken and does not let older messages back in", async () => {
      const id = newId();
      await put(id, workspaceFields({ name: "five" }), 5n);
      await put(id, workspaceFields({ name: "by hand" }));
      expect(await get(id)).toMatchObject({ name: "by hand", sourceVersion: 5n });
      expect(await put(id, workspaceFields({ name: "four" }), 4n)).toBe("stale");
    });

    test("putting what is there already changes nothing", async () => {
      const id = newId();
      await put(id, workspaceFields(), 3n);
      expect(await put(id, workspaceFields(), 3n)).toMatchObject({ change: 0n, record: { revision: 1 } });
    });

    test("are listed by id, byte by byte, over any page size", async () => {
      const directory = unique("d");
      const ids = ["a", "B", "_", "a-1", "a1", "~", "A"];
      for (const workspaceId of ids) await put({ directory, workspaceId }, workspaceFields());
      for (const size of [1, 3, 7, 50]) {
        const listed: string[] = [];
        let after: string | undefined;
        do {
          const page: Awaited<ReturnType<DirectoryStore["listWorkspaces"]>> =
            await open().directory.listWorkspaces(directory, { size, after }, soon());
          listed.push(...page.records.map(({ id }) => id));
          after = page.next;
        } while (after !== undefined);
        expect(listed).toEqual([...ids].sort());
      }
    });
  });

  describe("deleteWorkspace", () => {
    test("takes the members along and revokes the bound keys of the apis named, for good", async () => {
      const id = { directory: unique("d"), workspaceId: unique("w") };
      const member = { ...id, userId: "u" };
      await put(id, workspaceFields());
      await putMember(member, memberFields(), 9n);
      const bound = keyRecord({ workspaceId: id.workspaceId, api: "retrac" });
      const revokedBefore = keyRecord({
        workspaceId: id.workspaceId,
        api: "retrac",
        revokeTimeMs: 5,
        revokeReason: "earlier",
      });
      const otherApi = keyRecord({ workspaceId: id.workspaceId, api: "retool" });
      const elsewhere = keyRecord({ workspaceId: unique("w"), api: "retrac" });
      for (const key of [bound, revokedBefore, otherApi, elsewhere]) {
        await open().keys.create(key, { claim: undefined, audit, deadline: soon() });
      }
      const deleted = await remove(id, ["retrac", "third"]);
      expect(deleted).toMatchObject({ record: true });
      expect(await get(id)).toBeUndefined();
      expect(await getMember(member)).toBeUndefined();
      const keys = await Promise.all(
        [bound, revokedBefore, otherApi, elsewhere].map((key) => open().keys.get(key.id, soon())),
      );
      expect(keys).toEqual([
        { ...bound, revokeTimeMs: 77, revokeReason: "workspace deleted", revision: 2 },
        revokedBefore,
        otherApi,
        elsewhere,
      ]);
      const changes = await open().feed.read(deleted.change - 1n, deleted.change, soon());
      expect(changes).toEqual(
        [
          { kind: "workspace", ...id },
          { kind: "member", ...member },
          { kind: "key", keyId: bound.id, digests: [bound.digest] },
        ].map((change) => ({ number: deleted.change, change })),
      );
      await put(id, workspaceFields());
      expect(await getMember(member)).toBeUndefined();
      expect((await open().keys.get(bound.id, soon()))?.revokeTimeMs).toBe(77);
    });

    test("leaves no live key behind that was made at the same time", async () => {
      for (let round = 0; round < 10; round++) {
        const madeIn = { directory: unique("d"), workspaceId: unique("w") };
        await put(madeIn, workspaceFields());
        const made = Array.from({ length: 4 }, () => keyRecord({ workspaceId: madeIn.workspaceId }));
        const create = (key: (typeof made)[number]) =>
          open().keys.create(key, { madeIn, claim: undefined, audit, deadline: soon() });
        const [, ...results] = await Promise.all([remove(madeIn, ["retrac"]), ...made.map(create)]);
        const kept = await Promise.all(made.map((key) => open().keys.get(key.id, soon())));
        expect(kept.map((key) => (key === undefined ? "no_workspace" : key.revokeTimeMs))).toEqual(
          results.map((result) => (result === "no_workspace" ? result : 77)),
        );
      }
    });

    test("a key cannot be made in a workspace that is not there, and its request_id stays free", async () => {
      const madeIn = newId();
      const claim = { callerId: "ct_test", operation: "key.create", requestId: unique("request") } as const;
      const key = keyRecord();
      const create = () => open().keys.create(key, { madeIn, claim, audit, deadline: soon() });
      expect(await create()).toBe("no_workspace");
      await put(madeIn, workspaceFields());
      expect(await create()).toMatchObject({ record: key });
    });

    test("forgets the versions, so that a workspace made again begins anew", async () => {
      const member = await newMember();
      await putMember(member, memberFields(), 9n);
      await removeMember(member, 10n);
      await remove(member);
      await put(member, workspaceFields(), 1n);
      expect(await putMember(member, memberFields(), 1n)).toMatchObject({ record: { sourceVersion: 1n } });
    });

    test("of what is not there changes nothing", async () => {
      expect(await remove(newId())).toEqual({ record: false, change: 0n });
    });

    test("leaves no member behind that was put at the same time", async () => {
      for (let round = 0; round < 5; round++) {
        const member = await newMember();
        const [, written] = await Promise.all([remove(member), putMember(member, memberFields())]);
        expect(await getMember(member)).toBeUndefined();
        expect(["no_workspace", "object"]).toContain(typeof written === "string" ? written : typeof written);
      }
    });
  });

  describe("members", () => {
    test("a member comes back as he was put, with what next was given", async () => {
      const id = await newMember();
      const asked: (MemberRecord | undefined)[] = [];
      const fields = memberFields({ allLocations: false, locationIds: ["l2", "l1"] });
      await putMember(
        id,
        (stored) => {
          asked.push(stored);
          return fields;
        },
        4n,
      );
      const expected = { ...id, ...fields, sourceVersion: 4n, revision: 1 };
      expect(await getMember(id)).toEqual(expected);
      await putMember(id, (stored) => {
        asked.push(stored);
        return memberFields({ role: "owner" });
      });
      expect(asked).toEqual([undefined, expected]);
      expect(await getMember(id)).toMatchObject({ role: "owner", sourceVersion: 4n, revision: 2 });
    });

    test("needs a workspace", async () => {
      expect(await putMember({ ...newId(), userId: "u" }, memberFields())).toBe("no_workspace");
    });

    test("what next throws is thrown as it is, and nothing is stored", async () => {
      const id = await newMember();
      const thrown = new Error("no such role");
      await expect(
        putMember(id, () => {
          throw thrown;
        }),
      ).rejects.toBe(thrown);
      expect(await getMember(id)).toBeUndefined();
    });

    test("putting him as he is changes nothing", async () => {
      const id = await newMember();
      await putMember(id, memberFields());
      expect(await putMember(id, memberFields())).toMatchObject({ change: 0n, record: { revision: 1 } });
    });

    test("of puts at the same time none is lost", async () => {
      const id = await newMember();
      await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          putMember(id, (stored) =>
            memberFields({ locationIds: [...(stored?.locationIds ?? []), `l${index}`] }),
          ),
        ),
      );
      expect((await getMember(id))?.locationIds).toHaveLength(12);
    });

    test("once removed he is gone, also from the list, and may be put again", async () => {
      const id = await newMember();
      await putMember(id, memberFields(), 1n);
      expect(await removeMember(id, 2n)).toMatchObject({ record: true });
      expect(await getMember(id)).toBeUndefined();
      const page = await open().directory.listMembers(
        id.directory,
        id.workspaceId,
        { size: 9, after: undefined },
        soon(),
      );
      expect(page).toEqual({ records: [], next: undefined });
      const asked: unknown[] = [];
      await putMember(
        id,
        (stored) => {
          asked.push(stored);
          return memberFields();
        },
        3n,
      );
      expect(asked).toEqual([undefined]);
      expect(await getMember(id)).toMatchObject({ role: "member", sourceVersion: 3n });
    });

    test("a put older than his removal does not bring him back", async () => {
      const id = await newMember();
      await putMember(id, memberFields(), 5n);
      await removeMember(id, 7n);
      expect(await putMember(id, memberFields(), 6n)).toBe("stale");
      expect(await getMember(id)).toBeUndefined();
    });

    test("a removal that arrives before the put that it follows is remembered", async () => {
      const id = await newMember();
      expect(await removeMember(id, 7n)).toEqual({ record: false, change: 0n });
      expect(await putMember(id, memberFields(), 6n)).toBe("stale");
      expect(await putMember(id, memberFields(), 8n)).toMatchObject({ record: { sourceVersion: 8n } });
    });

    test("an older removal is stale, and without a version it is always taken", async () => {
      const id = await newMember();
      await putMember(id, memberFields(), 5n);
      expect(await removeMember(id, 4n)).toBe("stale");
      expect(await getMember(id)).toBeDefined();
      expect(await removeMember(id)).toMatchObject({ record: true });
      expect(await putMember(id, memberFields(), 4n)).toBe("stale");
    });

    test("removing whom nobody knows changes nothing", async () => {
      const id = await newMember();
      expect(await removeMember(id)).toEqual({ record: false, change: 0n });
    });

    test("are listed by user id, byte by byte, over any page size", async () => {
      const { directory, workspaceId } = await newMember();
      const users = ["u2", "U1", "u1", "_", "u10"];
      for (const userId of users) await putMember({ directory, workspaceId, userId }, memberFields());
      for (const size of [1, 2, 50]) {
        const listed: string[] = [];
        let after: string | undefined;
        do {
          const page: Awaited<ReturnType<DirectoryStore["listMembers"]>> = await open().directory.listMembers(
            directory,
            workspaceId,
            { size, after },
            soon(),
          );
          listed.push(...page.records.map(({ userId }) => userId));
          after = page.next;
        } while (after !== undefined);
        expect(listed).toEqual([...users].sort());
      }
    });
  });
}
