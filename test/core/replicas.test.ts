import { expect, it } from "vitest";
import type { ReplicaRow } from "../../src/core/ports.ts";
import { createReplicas } from "../../src/core/replicas.ts";
import { admin, callerWith, NO_DEADLINE } from "./world.ts";

function row(id: string, change: Partial<ReplicaRow> = {}): ReplicaRow {
  return {
    id,
    applied: 7n,
    leaseMs: 1000,
    policies: { retool: "a", retrac: "b" },
    version: "1.2.3",
    renewal: "1",
    startedMsAgo: 60_000,
    renewedMsAgo: 200,
    ...change,
  };
}

function list(rows: readonly ReplicaRow[], highest = 7n) {
  const feed = { replicas: async () => ({ highest, replicas: rows }) };
  return createReplicas({ feed, ownId: "own" }).list(admin, NO_DEADLINE);
}

async function policiesOf(...policies: Partial<ReplicaRow>[]) {
  return (await list(policies.map((change, index) => row(`r${index}`, change)))).policies;
}

it("tells all of each replica, the oldest first, and which one answers", async () => {
  const { highest, replicas } = await list([row("a"), row("own", { startedMsAgo: 60_001 })]);
  expect(highest).toBe(7n);
  const { renewal: _, ...told } = row("a");
  expect(replicas).toEqual([
    { ...told, id: "own", startedMsAgo: 60_001, isThis: true, state: "live", changesBehind: 0n },
    { ...told, isThis: false, state: "live", changesBehind: 0n },
  ]);
});

it.each([
  [1000, 0, "live"],
  [1000, 1030, "live"],
  [1000, 1031, "lapsed"],
  [5000, 5150, "live"],
  [5000, 5151, "lapsed"],
])("of a lease of %i ms a replica that renewed %i ms ago is %s", async (leaseMs, renewedMsAgo, state) => {
  const { replicas } = await list([row("a", { leaseMs, renewedMsAgo })]);
  expect(replicas.map((each) => each.state)).toEqual([state]);
});

it.each([
  [0n, 7n],
  [5n, 2n],
  [7n, 0n],
  [9n, 0n],
])("a replica that has applied change %s of 7 is %s behind", async (applied, changesBehind) => {
  const { replicas } = await list([row("a", { applied })]);
  expect(replicas.map((each) => each.changesBehind)).toEqual([changesBehind]);
});

it("policies agree where all live replicas have the same, for each api by itself", async () => {
  expect(await policiesOf({}, { policies: { retrac: "c", retool: "a" } })).toEqual([
    { api: "retool", policiesAgree: true, digests: ["a"] },
    { api: "retrac", policiesAgree: false, digests: ["b", "c"] },
  ]);
});

it("a live replica that lacks an api does not agree, whatever the api's name", async () => {
  const own = { policies: { constructor: "a" } as unknown as ReplicaRow["policies"] };
  expect(await policiesOf(own, { policies: {} })).toEqual([
    { api: "constructor", policiesAgree: false, digests: ["a"] },
  ]);
});

it("a lapsed replica is not asked for its policies", async () => {
  const lapsed = { renewedMsAgo: 2000, policies: { retool: "old", gone: "c" } };
  expect(await policiesOf({ policies: { retool: "a" } }, lapsed)).toEqual([
    { api: "retool", policiesAgree: true, digests: ["a"] },
  ]);
});

it("where nobody is known nothing is told", async () => {
  expect(await list([], 0n)).toEqual({ highest: 0n, replicas: [], policies: [] });
});

it("a caller that is limited to some apis is refused before the store is asked", async () => {
  let asked = 0;
  const replicas = createReplicas({
    ownId: "own",
    feed: {
      async replicas() {
        asked++;
        return { highest: 0n, replicas: [] };
      },
    },
  });
  await expect(replicas.list(callerWith(["admin"], ["retool"]), NO_DEADLINE)).rejects.toMatchObject({
    code: "permission_denied",
    reason: "API_NOT_GRANTED",
  });
  expect(asked).toBe(0);
});
