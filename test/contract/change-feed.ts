import { describe, expect, test } from "vitest";
import type { CallerTokenStore, ChangeFeed, NumberedChange, ReplicaState } from "../../src/core/ports.ts";
import type { DirectoryStores } from "./directory-store.ts";
import {
  audit,
  callerTokenRecord,
  digest,
  keyRecord,
  memberFields,
  soon,
  unique,
  workspaceFields,
} from "./records.ts";

export interface FeedStores extends DirectoryStores {
  readonly callerTokens: CallerTokenStore;
}

/** What every ChangeFeed must do, together with the stores whose changes it carries. */
export function changeFeedContract(open: () => FeedStores): void {
  const replica = () => ({
    id: unique("replica"),
    applied: 0n,
    leaseMs: 1000,
    policies: { retrac: "digest" },
    version: "1.2.3",
  });
  const highest = async () => (await open().feed.renew(replica(), soon())).highest;
  const read = async (after: bigint, upTo: bigint): Promise<readonly NumberedChange[]> => {
    const changes = await open().feed.read(after, upTo, soon());
    if (changes === "gap") throw new Error("the feed has a gap");
    return changes;
  };
  /** The changes that a write makes. */
  const changesOf = async (write: () => Promise<unknown>): Promise<readonly NumberedChange[]> => {
    const before = await highest();
    await write();
    return read(before, await highest());
  };

  test("every kind of write that could touch rights is in the feed, with what it touched", async () => {
    const { keys, directory, callerTokens } = open();
    const key = keyRecord({ previousDigest: digest() });
    const next = digest();
    const workspace = { directory: unique("d"), workspaceId: "w" };
    const member = { ...workspace, userId: "u" };
    const token = callerTokenRecord();
    const options = () => ({ audit, deadline: soon() });
    const put = () => ({ ...options(), sourceVersion: 0n, next: () => workspaceFields() });
    const kinds: [() => Promise<unknown>, unknown][] = [
      [
        () => keys.create(key, { ...options(), claim: undefined }),
        { kind: "key", keyId: key.id, digests: [key.digest, key.previousDigest] },
      ],
      [
        () =>
          keys.update(key.id, {
            ...options(),
            revision: 1,
            patch: { digest: next, previousDigest: key.digest },
            claim: undefined,
          }),
        { kind: "key", keyId: key.id, digests: [key.digest, key.previousDigest, next] },
      ],
      [() => directory.putWorkspace(workspace, put()), { kind: "workspace", ...workspace }],
      [
        () => directory.putMember(member, { ...options(), sourceVersion: 0n, next: () => memberFields() }),
        { kind: "member", ...member },
      ],
      [
        () => directory.removeMember(member, { ...options(), sourceVersion: 0n }),
        { kind: "member", ...member },
      ],
      [
        () => directory.deleteWorkspace(workspace, { ...options(), apis: [], revokeReason: "", nowMs: 1 }),
        { kind: "workspace", ...workspace },
      ],
      [() => callerTokens.create(token, options()), { kind: "caller_token", digest: token.digest }],
      [
        () => callerTokens.revoke(token.id, { ...options(), nowMs: 1 }),
        { kind: "caller_token", digest: token.digest },
      ],
    ];
    for (const [write, change] of kinds) {
      expect((await changesOf(write)).map((numbered) => numbered.change)).toEqual([change]);
    }
  });

  test("a write's number is that of its change", async () => {
    const key = keyRecord();
    const written = await open().keys.create(key, { claim: undefined, audit, deadline: soon() });
    if (written === "no_workspace" || !("change" in written)) throw new Error("the key was not made");
    expect(await read(written.change - 1n, written.change)).toEqual([
      { number: written.change, change: { kind: "key", keyId: key.id, digests: [key.digest] } },
    ]);
  });

  test("what changes nothing, and what fails, makes no change", async () => {
    const { keys, directory } = open();
    const key = keyRecord();
    await keys.create(key, { claim: undefined, audit, deadline: soon() });
    const changes = await changesOf(async () => {
      await keys.update(key.id, {
        revision: 9,
        patch: { name: "x" },
        claim: undefined,
        audit,
        deadline: soon(),
      });
      await keys.recordUses([{ keyId: key.id, secret: "current", timeMs: 5 }], soon());
      await directory.removeMember(
        { directory: unique("d"), workspaceId: "w", userId: "u" },
        { sourceVersion: 0n, audit, deadline: soon() },
      );
      await keys
        .create(keyRecord({ digest: key.digest }), { claim: undefined, audit, deadline: soon() })
        .then(
          () => expect.unreachable(),
          () => {},
        );
    });
    expect(changes).toEqual([]);
  });

  test("numbers have no holes and rise, with many writers at once", async () => {
    const before = await highest();
    await Promise.all(
      Array.from({ length: 30 }, () =>
        open().keys.create(keyRecord(), { claim: undefined, audit, deadline: soon() }),
      ),
    );
    const numbers = (await read(before, await highest())).map(({ number }) => number);
    expect(numbers).toEqual(Array.from({ length: 30 }, (_, index) => before + BigInt(index) + 1n));
  });

  test("what is visible has everything before it", async () => {
    const before = await highest();
    let writing = true;
    const write = async () => {
      for (let round = 0; round < 8; round++) {
        await open().keys.create(keyRecord(), { claim: undefined, audit, deadline: soon() });
      }
    };
    const watch = async () => {
      let position = before;
      while (writing) {
        const next = await highest();
        const numbers = (await read(position, next)).map(({ number }) => number);
        expect(numbers).toEqual(
          Array.from({ length: Number(next - position) }, (_, index) => position + BigInt(index) + 1n),
        );
        position = next;
      }
      return position;
    };
    const watching = watch();
    await Promise.all(Array.from({ length: 6 }, write));
    writing = false;
    await watching;
    expect(await highest()).toBe(before + 48n);
  });

  test("numbers that were never given, or are kept no more, are a gap", async () => {
    const upTo = await highest();
    expect(await open().feed.read(upTo, upTo + 1n, soon())).toBe("gap");
    expect(await open().feed.read(upTo, upTo, soon())).toEqual([]);
  });

  test("live replicas are counted, until they leave", async () => {
    const count = async (feed: ChangeFeed, state: ReturnType<typeof replica>) =>
      (await feed.renew(state, soon())).liveReplicas;
    const { feed } = open();
    const [first, second] = [replica(), replica()];
    const alone = await count(feed, first);
    expect(await count(feed, second)).toBe(alone + 1);
    expect(await count(feed, first)).toBe(alone + 1);
    await feed.leave(second.id, soon());
    expect(await count(feed, first)).toBe(alone);
    await feed.leave(first.id, soon());
  });

  describe("the replicas' rows", () => {
    const createKey = () => open().keys.create(keyRecord(), { claim: undefined, audit, deadline: soon() });
    const rowOf = async (id: string) =>
      (await open().feed.replicas(soon())).replicas.find((row) => row.id === id);

    test("tell what each replica last said of itself, and the number of the last change", async () => {
      const { feed } = open();
      await createKey();
      const state = { ...replica(), applied: 1n, leaseMs: 1234 };
      const { highest: last } = await feed.renew(state, soon());
      const report = await feed.replicas(soon());
      expect(report.highest).toBe(last);
      expect(report.replicas.find(({ id }) => id === state.id)).toMatchObject(state);
      await feed.renew({ ...state, leaseMs: 5, policies: {} }, soon());
      expect(await rowOf(state.id)).toMatchObject({ leaseMs: 5, policies: {} });
    });

    test("a renewal tells whether the row was there", async () => {
      const { feed } = open();
      const state = replica();
      expect((await feed.renew(state, soon())).isNew).toBe(true);
      expect((await feed.renew(state, soon())).isNew).toBe(false);
      await feed.leave(state.id, soon());
      expect((await feed.renew(state, soon())).isNew).toBe(true);
    });

    test("an acknowledgement raises the number, never lowers it, and makes no row", async () => {
      const { feed } = open();
      await createKey();
      await createKey();
      const state = replica();
      await feed.acknowledge({ id: state.id, applied: 1n }, soon());
      expect(await rowOf(state.id)).toBeUndefined();
      await feed.renew(state, soon());
      await feed.acknowledge({ id: state.id, applied: 2n }, soon());
      await feed.acknowledge({ id: state.id, applied: 1n }, soon());
      expect(await rowOf(state.id)).toMatchObject({ ...state, applied: 2n });
    });

    test("a number that no change has is not stored: the change that gets it is applied by nobody yet", async () => {
      const { feed } = open();
      const state = { ...replica(), applied: 10n ** 15n };
      const { highest: last } = await feed.renew(state, soon());
      expect((await rowOf(state.id))?.applied).toBe(last);
      await feed.renew(state, soon());
      expect((await rowOf(state.id))?.applied).toBe(last);
      await createKey();
      await feed.acknowledge(state, soon());
      expect((await rowOf(state.id))?.applied).toBe(last + 1n);
    });

    test.each<[string, (feed: ChangeFeed, state: ReplicaState) => Promise<unknown>]>([
      ["renewed", (feed, state) => feed.renew(state, soon())],
      ["acknowledged", (feed, { id }) => feed.acknowledge({ id, applied: 1n }, soon())],
    ])("a row that was %s since it was read is not retired; one that was not, is", async (_, tell) => {
      const { feed } = open();
      await createKey();
      const state = replica();
      await feed.renew(state, soon());
      const seen = await rowOf(state.id);
      await tell(feed, state);
      await feed.retire({ id: state.id, renewal: seen?.renewal ?? "" }, soon());
      const seenAgain = await rowOf(state.id);
      expect(seenAgain).toMatchObject({ id: state.id });
      await feed.retire({ id: state.id, renewal: seenAgain?.renewal ?? "" }, soon());
      expect(await rowOf(state.id)).toBeUndefined();
    });
  });
}
