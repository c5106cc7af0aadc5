import { describe, expect, test } from "vitest";
import { storeUnavailable, TollgateError } from "../../src/core/errors.ts";
import type { OnOutage } from "../../src/core/policy.ts";
import type { BucketStore, Charge, Deadline, TakeAnswer, TakeRequest } from "../../src/core/ports.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { NotSent } from "../../src/points/not-sent.ts";
import { type OutageEvent, withOutage } from "../../src/points/outage.ts";
import { STORE_SHARE } from "../../src/points/store-share.ts";
import { UnreadableBucket } from "../../src/points/unreadable-bucket.ts";
import { chargeOf, takeOf } from "../contract/bucket-store.ts";

type Fault = "none" | "refuses" | "hangs" | "unreadable" | "not sent" | "internal";

const causes = { unreadable: new UnreadableBucket(), "not sent": new NotSent() };

/** A store on a clock of the test's, in front of which faults can be put; what hangs does so for its share of the budget. */
function createFaulty({ liveReplicas = 1 }: { liveReplicas?: number } = {}) {
  const clock = { ms: 1000 };
  const now = () => clock.ms;
  const inner = createInProcessBuckets({ now });
  const state = { fault: "none" as Fault, calls: 0, replicas: liveReplicas };
  const events: OutageEvent[] = [];
  const store: BucketStore = {
    async take(request: TakeRequest, deadline: Deadline): Promise<TakeAnswer> {
      state.calls++;
      if (state.fault === "none") return inner.take(request, Number.POSITIVE_INFINITY);
      const { budgetMs = 25 } = request;
      if (state.fault === "hangs")
        clock.ms = Math.max(clock.ms, Math.min(deadline, clock.ms + STORE_SHARE * budgetMs));
      if (state.fault === "internal") throw new TollgateError("internal", "A fault.", { reason: "FAULT" });
      const cause = state.fault === "hangs" || state.fault === "refuses" ? undefined : causes[state.fault];
      throw storeUnavailable("redis", cause ?? new Error("gone"));
    },
  };
  const tolerant = withOutage(store, {
    budgetMs: 25,
    liveReplicas: () => state.replicas,
    now,
    onEvent: (event) => events.push(event),
  });
  const take = (
    charge: Charge | readonly Charge[],
    {
      onOutage = "local",
      leftMs = 1000,
      budgetMs,
      ...options
    }: {
      onOutage?: OnOutage;
      leftMs?: number;
      budgetMs?: number;
      mode?: "enforce" | "peek" | "record";
      requestId?: string;
    } = {},
  ): Promise<TakeAnswer> =>
    tolerant.take(
      { ...takeOf(charge, options), onOutage, ...(budgetMs === undefined ? {} : { budgetMs }) },
      clock.ms + leftMs,
    );
  return { clock, state, events, tolerant, take };
}

test("while the store answers, its answer is the answer", async () => {
  const { take, events } = createFaulty();
  expect(await take(chargeOf({ points: 3, cost: 2 }))).toMatchObject({
    outcome: "admitted",
    decidedBy: "store",
    states: [{ remaining: 1 }],
  });
  expect(events).toEqual([]);
});

test("what the store decides to be an error stays one, and is no outage", async () => {
  const { take, tolerant, events } = createFaulty();
  const charge = chargeOf({ points: 9, cost: 2 });
  await take(charge, { requestId: "r" });
  for (let call = 0; call < 5; call++) {
    await expect(take({ ...charge, cost: 3 }, { requestId: "r" })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
  }
  expect(tolerant.breakerState).toBe("closed");
  expect(events).toEqual([]);
});

describe("in an outage", () => {
  test("deny: the outcome is unavailable", async () => {
    const { take, state, events } = createFaulty();
    state.fault = "refuses";
    expect(await take(chargeOf(), { onOutage: "deny" })).toEqual({
      outcome: "unavailable",
      states: [],
      decidedBy: "store",
    });
    expect(events).toMatchObject([{ kind: "outage", onOutage: "deny", cause: { code: "unavailable" } }]);
  });

  test("allow: admitted by nobody, and not counted", async () => {
    const { take, state } = createFaulty();
    state.fault = "refuses";
    const charge = chargeOf({ points: 1 });
    for (let call = 0; call < 5; call++) {
      expect(await take(charge, { onOutage: "allow" })).toEqual({
        outcome: "admitted",
        states: [],
        decidedBy: "nobody",
      });
    }
  });

  test("local: this process's share of the points is spent, and no more", async () => {
    const { take, state, clock } = createFaulty({ liveReplicas: 3 });
    state.fault = "refuses";
    const charge = chargeOf({ points: 11, windowMs: 60_000 });
    const outcomes = [];
    for (let call = 0; call < 4; call++) outcomes.push(await take(charge));
    // Eleven in three is three and a rest that nobody has.
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(["admitted", "admitted", "admitted", "exceeded"]);
    expect(outcomes[0]).toMatchObject({ decidedBy: "local", states: [{ remaining: 2 }] });
    clock.ms += 60_000;
    expect(await take(charge)).toMatchObject({ outcome: "admitted", decidedBy: "local" });
  });

  test("local: a cost above the share is unavailable, and charges nothing", async () => {
    const { take, state } = createFaulty({ liveReplicas: 4 });
    state.fault = "refuses";
    const charge = chargeOf({ points: 10, cost: 2 });
    expect(await take({ ...charge, cost: 3 })).toEqual({
      outcome: "unavailable",
      states: [],
      decidedBy: "local",
    });
    expect(await take([chargeOf({ points: 1000 }), { ...charge, cost: 3 }])).toMatchObject({
      outcome: "unavailable",
    });
    expect(await take(charge)).toMatchObject({ outcome: "admitted", states: [{ remaining: 0 }] });
  });

  test("local: a limit in shadow whose share is too small refuses nothing", async () => {
    const { take, state } = createFaulty({ liveReplicas: 4 });
    state.fault = "refuses";
    const tight = chargeOf({ points: 10, cost: 3, shadow: true });
    expect(await take([chargeOf({ points: 1000, cost: 3 }), tight])).toMatchObject({
      outcome: "admitted",
      decidedBy: "local",
      states: [{ outcome: "admitted" }, { outcome: "exceeded" }],
    });
  });

  test("local: with more replicas than points a share is none; a cost of 0 still passes", async () => {
    const { take, state } = createFaulty({ liveReplicas: 9 });
    state.fault = "refuses";
    const charge = chargeOf({ points: 5 });
    expect((await take(charge)).outcome).toBe("unavailable");
    expect((await take({ ...charge, cost: 0 })).outcome).toBe("admitted");
  });

  test("local: with no replica counted the share is the whole", async () => {
    const { take, state } = createFaulty({ liveReplicas: 0 });
    state.fault = "refuses";
    expect(await take(chargeOf({ points: 5, cost: 5 }))).toMatchObject({ outcome: "admitted" });
  });

  test("local: work already done is charged above the share, and then blocks", async () => {
    const { take, state } = createFaulty({ liveReplicas: 2 });
    state.fault = "refuses";
    const charge = chargeOf({ points: 10, cost: 8, blockMs: 3000 });
    expect(await take(charge, { mode: "record" })).toMatchObject({
      outcome: "admitted",
      decidedBy: "local",
      states: [{ remaining: 0, blockedMs: 3000 }],
    });
    expect((await take({ ...charge, cost: 1 })).outcome).toBe("blocked");
  });

  test("local: a block that the store has told is kept, to its end", async () => {
    const { take, state, clock } = createFaulty();
    const charge = chargeOf({ points: 1, windowMs: 1000, blockMs: 60_000 });
    await take(charge);
    expect((await take(charge)).outcome).toBe("exceeded");
    state.fault = "refuses";
    clock.ms += 59_999;
    expect(await take(charge)).toMatchObject({
      outcome: "blocked",
      decidedBy: "local",
      states: [{ blockedMs: 1, remaining: 0 }],
    });
    clock.ms += 1;
    expect(await take(charge)).toMatchObject({ outcome: "admitted", decidedBy: "local" });
  });

  test("local: one share a window, however often the store comes and goes", async () => {
    const { take, state, clock } = createFaulty({ liveReplicas: 2 });
    const charge = chargeOf({ points: 10, windowMs: 60_000 });
    let local = 0;
    for (let turn = 0; turn < 20; turn++) {
      state.fault = turn % 2 === 0 ? "refuses" : "none";
      const answer = await take(charge);
      if (answer.decidedBy === "local" && answer.outcome === "admitted") local++;
      clock.ms += 300;
    }
    expect(local).toBe(5);
  });

  test("a take whose bucket cannot be read is decided so too, and does not open the breaker", async () => {
    const { take, state, tolerant } = createFaulty();
    state.fault = "unreadable";
    for (let call = 0; call < 10; call++) {
      expect((await take(chargeOf(), { onOutage: "deny" })).outcome).toBe("unavailable");
    }
    expect(tolerant.breakerState).toBe("closed");
    expect(state.calls).toBe(10);
  });
});

test("an internal error of a take stays one, and neither opens nor closes the breaker", async () => {
  const { take, state, tolerant, clock, events } = createFaulty();
  state.fault = "internal";
  for (let call = 0; call < 5; call++) {
    await expect(take(chargeOf())).rejects.toMatchObject({ code: "internal" });
  }
  expect(tolerant.breakerState).toBe("closed");
  expect(events).toEqual([]);
  state.fault = "refuses";
  for (let call = 0; call < 3; call++) {
    await take(chargeOf());
    clock.ms++;
  }
  expect(tolerant.breakerState).toBe("open");
  clock.ms += 250;
  state.fault = "internal";
  await expect(take(chargeOf())).rejects.toMatchObject({ code: "internal" });
  expect(tolerant.breakerState).toBe("half_open");
});

describe("time", () => {
  test("the store gets its share of the budget, and no more", async () => {
    const { take, state, clock } = createFaulty();
    state.fault = "hangs";
    await take(chargeOf(), { onOutage: "deny", leftMs: 10_000 });
    expect(clock.ms).toBe(1000 + STORE_SHARE * 25);
  });

  test("of a shorter deadline it gets so much that a decision can still be told", async () => {
    const { take, state, clock } = createFaulty();
    state.fault = "hangs";
    expect((await take(chargeOf(), { leftMs: 15 })).decidedBy).toBe("local");
    expect(clock.ms).toBe(1013);
  });

  test("a deadline that leaves too little to judge the store by is an error, and no outage", async () => {
    const { take, state, tolerant, events } = createFaulty();
    state.fault = "hangs";
    for (let call = 0; call < 10; call++) {
      await expect(take(chargeOf(), { leftMs: 5 })).rejects.toMatchObject({ code: "deadline_exceeded" });
    }
    expect(tolerant.breakerState).toBe("closed");
    expect(events).toEqual([]);
  });

  test("a take with a budget of its own is decided by on_outage when that is over", async () => {
    const { take, state, clock, tolerant } = createFaulty();
    state.fault = "hangs";
    expect((await take(chargeOf(), { budgetMs: 15 })).decidedBy).toBe("local");
    expect(clock.ms).toBe(1000 + STORE_SHARE * 15);
    // Enough for this take, though too little for one that would wait for the store's whole budget.
    expect((await take(chargeOf(), { budgetMs: 15, leftMs: 10 })).decidedBy).toBe("local");
    await take(chargeOf(), { budgetMs: 15 });
    expect(tolerant.breakerState).toBe("open");
  });

  test("a budget of its own that is less than half of the store's says nothing about the store", async () => {
    const { take, state, tolerant, events } = createFaulty();
    state.fault = "hangs";
    for (let call = 0; call < 10; call++) {
      expect((await take(chargeOf(), { budgetMs: 12, onOutage: "deny" })).outcome).toBe("unavailable");
    }
    expect(tolerant.breakerState).toBe("closed");
    expect(events).toHaveLength(10);
    state.fault = "refuses";
    for (let call = 0; call < 3; call++) await take(chargeOf(), { budgetMs: 12 });
    expect(tolerant.breakerState).toBe("open");
  });

  test("a take that was never sent is past its deadline: an error, and no outage", async () => {
    const { take, state, tolerant, events } = createFaulty();
    state.fault = "not sent";
    for (let call = 0; call < 10; call++) {
      await expect(take(chargeOf(), { leftMs: 30 })).rejects.toMatchObject({ code: "deadline_exceeded" });
    }
    expect(tolerant.breakerState).toBe("closed");
    expect(events).toEqual([]);
  });

  test("after its deadline a take is not begun", async () => {
    const { take, state } = createFaulty();
    await expect(take(chargeOf(), { leftMs: 0 })).rejects.toMatchObject({ code: "deadline_exceeded" });
    expect(state.calls).toBe(0);
  });

  test("once the breaker is open, takes are decided without waiting, until a probe finds the store back", async () => {
    const { take, state, clock, tolerant, events } = createFaulty();
    state.fault = "hangs";
    for (let call = 0; call < 10; call++) await take(chargeOf());
    expect(state.calls).toBe(3);
    expect(clock.ms).toBe(1000 + 3 * STORE_SHARE * 25);
    expect(tolerant.breakerState).toBe("open");
    state.fault = "none";
    clock.ms += 250;
    expect((await take(chargeOf())).decidedBy).toBe("store");
    expect(tolerant.breakerState).toBe("closed");
    expect(events.flatMap((event) => (event.kind === "breaker" ? [event.state] : []))).toEqual([
      "open",
      "half_open",
      "closed",
    ]);
  });
});
