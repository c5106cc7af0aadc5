import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { storeUnavailable } from "../../src/core/errors.ts";
import type { LimitShape } from "../../src/core/policy.ts";
import type { BucketStore, Charge, TakeAnswer } from "../../src/core/ports.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { type Fate, NoReply } from "../../src/points/no-reply.ts";
import { type OutageEvent, withOutage } from "../../src/points/outage.ts";
import { chargeOf, takeOf } from "../contract/bucket-store.ts";
import { until } from "../support/until.ts";

/**
 * "refuses": the take never reaches the store. "drops": it does nothing there, and that is known when the store
 * answers again. "loses": the store does as it is asked, and its reply is lost for ever.
 */
type Fault = "none" | "refuses" | "drops" | "loses";

/** A process in front of a store on a clock of the test's, between which faults can be put. */
function createOutage({ liveReplicas = 1 }: { liveReplicas?: number } = {}) {
  const clock = { ms: 1000 };
  const now = () => clock.ms;
  const inner = createInProcessBuckets({ now });
  const state = { fault: "none" as Fault, charged: 0, chargedIds: new Set<string>(), asked: false };
  const events: OutageEvent[] = [];
  let droppedFates: ((fate: Fate) => void)[] = [];
  const store: BucketStore = {
    async take(request) {
      if (state.fault === "refuses") throw storeUnavailable("redis", new Error("gone"));
      if (state.fault === "drops") {
        const fate = new Promise<Fate>((resolve) => droppedFates.push(resolve));
        throw storeUnavailable("redis", new NoReply("no reply", fate));
      }
      state.asked = true;
      const { answer, charged } = inner.decide(request);
      request.charges.forEach(({ cost }, index) => {
        if (charged[index] !== true) return;
        state.charged += cost;
        state.chargedIds.add(request.requestId);
      });
      if (state.fault === "none") return answer;
      throw storeUnavailable("redis", new NoReply("no reply", Promise.resolve<Fate>("unknown")));
    },
  };
  const tolerant = withOutage(store, {
    budgetMs: 25,
    liveReplicas: () => liveReplicas,
    now,
    onEvent: (event) => events.push(event),
  });
  return {
    clock,
    state,
    events,
    take(charge: Charge, options: Parameters<typeof takeOf>[1] = {}): Promise<TakeAnswer> {
      return tolerant.take({ ...takeOf(charge, options), onOutage: "local" }, clock.ms + 1000);
    },
    /** What is spent there, asked past the process. */
    spent: (charge: Charge) => inner.spent(charge),
    blocked: async (charge: Charge) =>
      (await inner.take(takeOf(charge, { mode: "peek" }), Number.POSITIVE_INFINITY)).states[0]?.blockedMs,
    /** The store answers from now on. */
    mend() {
      state.fault = "none";
      for (const tell of droppedFates) tell("nothing");
      droppedFates = [];
      clock.ms += 250;
    },
    told: () => events.filter(({ kind }) => kind === "told"),
  };
}

/** Until all that has been set off is done: nothing in it waits for a timer. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const shapes: readonly LimitShape[] = ["sliding", "fixed", "bucket"];

describe.each(shapes)("after an outage, shape %s", (shape) => {
  test("the store counts what was used without it before the process asks it for more", async () => {
    const { take, state, mend, spent, told } = createOutage({ liveReplicas: 2 });
    const charge = chargeOf({ shape, points: 10 });
    state.fault = "refuses";
    const local = [];
    for (let call = 0; call < 6; call++) local.push((await take(charge)).outcome);
    expect(local.filter((outcome) => outcome === "admitted")).toHaveLength(5);
    mend();
    // The first that comes finds the store back, and is still decided here.
    expect(await take(charge)).toMatchObject({ outcome: "exceeded", decidedBy: "local" });
    await settled();
    // "bucket" has given back some thousandths of a point by now.
    expect(spent(charge)).toBe(5);
    const after = [];
    for (let call = 0; call < 7; call++) after.push(await take(charge));
    expect(after.map(({ decidedBy }) => decidedBy)).toEqual(Array(7).fill("store"));
    expect(after.filter(({ outcome }) => outcome === "admitted")).toHaveLength(5);
    expect(told()).toEqual([{ kind: "told", uses: 1, lost: 0 }]);
  });

  test("only what still counts is told, however long the outage was", async () => {
    const { take, state, clock, mend, spent } = createOutage({ liveReplicas: 2 });
    const charge = chargeOf({ shape, points: 10, windowMs: 60_000 });
    state.fault = "refuses";
    for (let minute = 0; minute < 20; minute++) {
      for (let call = 0; call < 3; call++) await take(charge);
      clock.ms += 60_000;
    }
    await take(charge);
    mend();
    await take({ ...charge, cost: 0 });
    await settled();
    expect(spent(charge)).toBe(1);
  });

  test("telling starts no block, and ends none", async () => {
    const { take, state, mend, spent, blocked } = createOutage();
    const charge = chargeOf({ shape, points: 10, blockMs: 60_000 });
    for (let call = 0; call < 8; call++) await take(charge);
    state.fault = "refuses";
    for (let call = 0; call < 10; call++) await take(charge);
    mend();
    await take({ ...charge, cost: 0 });
    await settled();
    expect(spent({ ...charge, points: 100 })).toBe(18);
    expect(await blocked(charge)).toBe(0);
  });
});

test("uses are told once, however often the store comes and goes", async () => {
  const { take, state, clock, mend, spent } = createOutage();
  const charge = chargeOf({ points: 1000 });
  let admitted = 0;
  for (let turn = 0; turn < 20; turn++) {
    state.fault = turn % 2 === 0 ? "refuses" : "none";
    for (let call = 0; call < 5; call++) if ((await take(charge)).outcome === "admitted") admitted++;
    clock.ms += 300;
    await settled();
  }
  mend();
  await take({ ...charge, cost: 0 });
  await settled();
  expect(admitted).toBe(100);
  expect(spent(charge)).toBe(100);
});

test("when no request comes any more, the process finds the store back itself", async () => {
  const { take, state, mend, spent, told } = createOutage();
  const charge = chargeOf({ points: 10, cost: 4 });
  state.fault = "refuses";
  await take(charge);
  mend();
  await until(() => told().length > 0);
  expect(spent(charge)).toBe(4);
});

test("a take is not told that the store may have charged, and is told once it turns out that it did not", async () => {
  const { take, state, mend, spent, events } = createOutage();
  const [lost, dropped] = [chargeOf({ points: 10, cost: 3 }), chargeOf({ points: 10, cost: 3 })];
  state.fault = "loses";
  expect(await take(lost)).toMatchObject({ outcome: "admitted", decidedBy: "local" });
  state.fault = "drops";
  expect(await take(dropped)).toMatchObject({ outcome: "admitted", decidedBy: "local" });
  expect([spent(lost), spent(dropped)]).toEqual([3, 0]);
  mend();
  await settled();
  await take(chargeOf());
  await settled();
  expect([spent(lost), spent(dropped)]).toEqual([3, 3]);
  expect(events).toContainEqual({ kind: "told", uses: 1, lost: 1 });
});

test("a telling whose reply is lost is not sent again", async () => {
  const { take, state, mend, spent } = createOutage();
  const [charge, other] = [chargeOf({ points: 10, cost: 3 }), chargeOf()];
  state.fault = "refuses";
  await take(charge);
  mend();
  await take(other);
  // Charged there; nobody here knows.
  state.fault = "loses";
  await settled();
  expect(spent(charge)).toBe(3);
  for (let turn = 0; turn < 5; turn++) {
    mend();
    await take(other);
    await settled();
  }
  expect(spent(charge)).toBe(3);
});

describe("a request_id", () => {
  test("whose charge lost its reply is charged once, although it was decided here too, and asked again", async () => {
    const { take, state, mend, spent } = createOutage();
    const charge = chargeOf({ points: 10, cost: 3 });
    state.fault = "loses";
    await take(charge, { requestId: "r" });
    expect(await take(charge, { requestId: "r" })).toMatchObject({ outcome: "admitted", decidedBy: "local" });
    mend();
    await take(chargeOf());
    await settled();
    expect(await take(charge, { requestId: "r" })).toMatchObject({ outcome: "admitted", decidedBy: "store" });
    expect(spent(charge)).toBe(3);
  });

  test("that was charged here alone is remembered by the store too", async () => {
    const { take, state, mend, spent } = createOutage();
    const charge = chargeOf({ points: 10, cost: 3 });
    state.fault = "refuses";
    await take(charge, { requestId: "r" });
    mend();
    await take(chargeOf());
    await settled();
    for (let call = 0; call < 2; call++) {
      expect(await take(charge, { requestId: "r" })).toMatchObject({
        outcome: "admitted",
        decidedBy: "store",
        states: [{ remaining: 7 }],
      });
    }
    expect(spent(charge)).toBe(3);
  });

  test("that the store knows with another cost does not keep the use from being told", async () => {
    const { take, state, mend, spent, clock } = createOutage();
    const charge = chargeOf({ points: 10, cost: 3 });
    await take(charge, { requestId: "r" });
    state.fault = "refuses";
    await take({ ...charge, cost: 2 }, { requestId: "r" });
    mend();
    await take(chargeOf());
    await settled();
    clock.ms += 250;
    await take(chargeOf());
    await settled();
    expect(spent(charge)).toBe(5);
  });
});

test("an outage is told twice: when the breaker opens, and with what was decided meanwhile when it closes", async () => {
  const { take, state, clock, mend, events } = createOutage({ liveReplicas: 2 });
  const charge = chargeOf({ points: 4 });
  state.fault = "refuses";
  for (let call = 0; call < 50; call++) {
    await take(charge);
    await take({ ...charge, cost: 3 });
    clock.ms += 10;
    await settled();
  }
  mend();
  await take(charge);
  await settled();
  const turns = events.filter(({ kind }) => kind === "began" || kind === "ended");
  expect(turns).toEqual([
    { kind: "began", cause: expect.objectContaining({ code: "unavailable" }) },
    { kind: "ended", durationMs: 750, local: 51, unavailable: 50, uncounted: 0 },
  ]);
});

test("a failure that opens no breaker is no outage, and does not count as part of the next", async () => {
  const { take, state, clock, mend, events } = createOutage();
  state.fault = "refuses";
  await take(chargeOf());
  mend();
  await take(chargeOf());
  await settled();
  expect(events.map(({ kind }) => kind)).not.toContain("began");
  state.fault = "refuses";
  const start = clock.ms;
  for (let call = 0; call < 3; call++) {
    await take(chargeOf());
    clock.ms += 1;
  }
  mend();
  await take(chargeOf());
  await settled();
  expect(events).toContainEqual({
    kind: "ended",
    durationMs: clock.ms - start,
    local: 3,
    unavailable: 0,
    uncounted: 0,
  });
});

test("whatever fails: no answer of the store admits beyond what the process has used, and nothing is charged twice", async () => {
  const windowMs = 6000;
  const points = 20;
  const faults: readonly Fault[] = ["none", "none", "refuses", "drops", "loses"];
  const step = fc.record({
    fault: fc.constantFrom(...faults),
    cost: fc.integer({ min: 0, max: 8 }),
    requestId: fc.constantFrom("", "", "", "r1", "r2", "r3"),
    waitMs: fc.constantFrom(0, 0, 1, 99, 100, 101, 250, 999, 3000, 6000),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, liveReplicas) => {
        const { take, state, clock, mend } = createOutage({ liveReplicas });
        const charge = chargeOf({ points, windowMs });
        const admitted: { atMs: number; cost: number }[] = [];
        const admittedIds = new Set<string>();
        const costs = new Map<string, number>();
        // What was admitted within a window, when the store admitted.
        let mostWithin = 0;
        let used = 0;
        let chargedOfRefused = 0;
        for (const { fault, cost: given, requestId, waitMs } of steps) {
          clock.ms += waitMs;
          if (fault === "none" && state.fault !== "none") mend();
          state.fault = fault;
          // One request_id, one cost.
          const cost = requestId === "" ? given : (costs.get(requestId) ?? given);
          costs.set(requestId, cost);
          const chargedBefore = state.charged;
          // What the store charged before it charges no more, although nobody may have learnt of it.
          const isRepeat = requestId !== "" && state.chargedIds.has(requestId);
          state.asked = false;
          const { outcome, decidedBy } = await take({ ...charge, cost }, { requestId });
          const chargedNow = state.charged - chargedBefore;
          // The store refused it, nobody here knows, and the share admitted it.
          const isLost = fault === "loses" && decidedBy === "local" && requestId === "" && chargedNow === 0;
          if (outcome !== "admitted") {
            chargedOfRefused += chargedNow;
          } else if (!admittedIds.has(requestId)) {
            if (requestId !== "") admittedIds.add(requestId);
            used += cost;
            if (!isRepeat && (!isLost || !state.asked)) admitted.push({ atMs: clock.ms, cost });
            if (decidedBy === "store" && !isRepeat) {
              const within = admitted.filter(({ atMs }) => atMs > clock.ms - windowMs);
              mostWithin = Math.max(
                mostWithin,
                within.reduce((sum, each) => sum + each.cost, 0),
              );
            }
          }
          await settled();
        }
        expect(mostWithin).toBeLessThanOrEqual(points);
        expect(state.charged).toBeLessThanOrEqual(used + chargedOfRefused);
      },
    ),
    { numRuns: 300 },
  );
});
