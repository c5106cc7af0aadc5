import { describe, expect, it } from "vitest";
import { findViolations } from "./checker.ts";
import type { Answer, Decision, Rules, ToldState } from "./history.ts";

/** Ten points in a second; `w` of a second bucket, 15 points, with a block of 500 ms. */
const rules: Rules = {
  limits: [
    { name: "k", points: 10, windowMs: 1000, blockMs: 0 },
    { name: "w", points: 15, windowMs: 1000, blockMs: 500 },
  ],
  lateMs: 20,
  toldLaterMs: 0,
  leastReplicas: 3,
  longestAnswerMs: 5000,
};

type Call = Partial<Omit<Decision, "buckets">> & { limits?: string; at: number };

/** A call of 2 ms on limit `k`, or those of `limits`. */
function call({ at, limits = "k", ...fields }: Call, answer: Answer): Decision {
  return {
    sentMs: at,
    answeredMs: at + 2,
    process: "1",
    buckets: Object.fromEntries([...limits].map((limit) => [limit, "alice"])),
    cost: 1,
    mode: "enforce",
    requestId: "",
    answer,
    ...fields,
  };
}

/** `k: 9` has nine points left; `w: -300` is blocked for 300 ms more. */
function told(outcome: "admitted" | "exceeded" | "blocked", left: Record<string, number>): Answer {
  const states: ToldState[] = Object.entries(left).map(([limit, points]) => ({
    limit,
    remaining: Math.max(0, points),
    blockedMs: Math.max(0, -points),
  }));
  return { kind: "decided", by: "store", outcome, states };
}

function local(outcome: "admitted" | "exceeded"): Answer {
  return { kind: "decided", by: "local", outcome, states: [] };
}

const lost: Answer = { kind: "undecided", why: "unavailable" };

const broken = (history: readonly Decision[]) =>
  findViolations(history, rules).map(({ rule, decision }) => `${rule} at ${decision.sentMs}`);

/** Each rule: a history that keeps it, and one beside it that does not. */
const table: { rule: string; good: Decision[]; bad: Decision[]; finds: string[] }[] = [
  {
    rule: "no more than the points are admitted in any window",
    good: [
      call({ at: 0, cost: 10 }, told("admitted", { k: 0 })),
      call({ at: 1003, cost: 10 }, told("admitted", { k: 0 })),
    ],
    // Remaining is told as if the charge before had left already.
    bad: [
      call({ at: 0, cost: 10 }, told("admitted", { k: 0 })),
      call({ at: 990, cost: 10 }, told("admitted", { k: 0 })),
    ],
    finds: ["over_admission at 0"],
  },
  {
    rule: "charges that need not lie within one window are not too many",
    good: [
      call({ at: 0, answeredMs: 30, cost: 10 }, told("admitted", { k: 0 })),
      call({ at: 985, answeredMs: 1015, cost: 10 }, told("admitted", { k: 0 })),
    ],
    bad: [
      call({ at: 0, answeredMs: 30, cost: 10 }, told("admitted", { k: 0 })),
      call({ at: 940, answeredMs: 990, cost: 1 }, told("admitted", { k: 0 })),
    ],
    finds: ["over_admission at 0"],
  },
  {
    rule: "a call is refused only by what was charged",
    good: [
      call({ at: 0, cost: 6 }, told("admitted", { k: 4 })),
      call({ at: 500, cost: 5 }, told("exceeded", { k: 4 })),
    ],
    bad: [
      call({ at: 0, cost: 6 }, told("admitted", { k: 4 })),
      call({ at: 500, cost: 4 }, told("exceeded", { k: 4 })),
    ],
    finds: ["refused_though_free at 500"],
  },
  {
    rule: "a block refuses every call until its end",
    good: [
      call({ at: 0, limits: "w", cost: 15 }, told("admitted", { w: 0 })),
      call({ at: 600, limits: "w" }, told("exceeded", { w: -500 })),
      call({ at: 1097, limits: "w" }, told("blocked", { w: -4 })),
      call({ at: 1103, limits: "w" }, told("admitted", { w: 14 })),
    ],
    bad: [
      call({ at: 0, limits: "w", cost: 15 }, told("admitted", { w: 0 })),
      call({ at: 600, limits: "w" }, told("exceeded", { w: -500 })),
      call({ at: 1090, limits: "w" }, told("admitted", { w: 14 })),
    ],
    finds: ["admitted_in_block at 1090"],
  },
  {
    rule: "a refused call does not extend a block",
    good: [
      call({ at: 0, limits: "w", cost: 15 }, told("admitted", { w: 0 })),
      call({ at: 100, limits: "w" }, told("exceeded", { w: -500 })),
      call({ at: 400, limits: "w" }, told("blocked", { w: -200 })),
      call({ at: 500, limits: "w" }, told("blocked", { w: -100 })),
    ],
    bad: [
      call({ at: 0, limits: "w", cost: 15 }, told("admitted", { w: 0 })),
      call({ at: 100, limits: "w" }, told("exceeded", { w: -500 })),
      call({ at: 400, limits: "w" }, told("blocked", { w: -200 })),
      call({ at: 500, limits: "w" }, told("blocked", { w: -400 })),
    ],
    finds: ["block_without_cause at 500"],
  },
  {
    rule: "a block whose beginning was lost has its cause there",
    good: [
      call({ at: 0, limits: "w", cost: 15 }, told("admitted", { w: 0 })),
      call({ at: 100, limits: "w" }, lost),
      call({ at: 400, limits: "w" }, told("blocked", { w: -200 })),
    ],
    bad: [
      call({ at: 0, limits: "w", cost: 15 }, told("admitted", { w: 0 })),
      call({ at: 100, limits: "w", mode: "peek" }, lost),
      call({ at: 400, limits: "w" }, told("blocked", { w: -200 })),
    ],
    finds: ["block_without_cause at 400"],
  },
  {
    rule: "a block begins with the call that would exceed the limit, with its whole time",
    good: [
      call({ at: 0, limits: "w", cost: 15 }, told("admitted", { w: 0 })),
      call({ at: 100, limits: "w", mode: "peek" }, told("exceeded", { w: 0 })),
      call({ at: 200, limits: "w" }, told("exceeded", { w: -500 })),
    ],
    bad: [
      call({ at: 0, limits: "w", cost: 15 }, told("admitted", { w: 0 })),
      call({ at: 100, limits: "w" }, told("exceeded", { w: 0 })),
      call({ at: 200, limits: "w" }, told("exceeded", { w: -501 })),
      call({ at: 900, limits: "w" }, told("exceeded", { w: -499 })),
    ],
    finds: ["block_not_started at 100", "block_length at 200", "block_length at 900"],
  },
  {
    rule: "a refusal charges nothing",
    good: [
      call({ at: 0, cost: 6 }, told("admitted", { k: 4 })),
      call({ at: 10, cost: 5 }, told("exceeded", { k: 4 })),
      call({ at: 20, mode: "peek" }, told("admitted", { k: 4 })),
    ],
    bad: [
      call({ at: 0, cost: 6 }, told("admitted", { k: 4 })),
      call({ at: 10, cost: 5 }, told("exceeded", { k: 4 })),
      call({ at: 20, mode: "peek" }, told("admitted", { k: 3 })),
    ],
    finds: ["refusal_charged at 20"],
  },
  {
    rule: "a charge counts for the whole window",
    good: [
      call({ at: 0, cost: 6 }, told("admitted", { k: 4 })),
      call({ at: 1000, mode: "peek" }, told("admitted", { k: 4 })),
      call({ at: 1015, mode: "peek" }, told("admitted", { k: 4 })),
    ],
    bad: [
      call({ at: 0, cost: 6 }, told("admitted", { k: 4 })),
      call({ at: 990, mode: "peek" }, told("admitted", { k: 5 })),
      call({ at: 1025, mode: "peek" }, told("admitted", { k: 4 })),
    ],
    finds: ["charge_lost at 990", "refusal_charged at 1025"],
  },
  {
    rule: "a call whose answer was lost may have been charged, and not more than once",
    good: [
      call({ at: 0, cost: 6, requestId: "r" }, lost),
      call({ at: 10, cost: 6, requestId: "r" }, told("admitted", { k: 4 })),
      call({ at: 20, cost: 6, requestId: "r" }, told("admitted", { k: 4 })),
      call({ at: 30, cost: 3 }, lost),
      call({ at: 50, mode: "peek" }, told("admitted", { k: 1 })),
    ],
    bad: [
      call({ at: 0, cost: 5, requestId: "r" }, lost),
      call({ at: 10, cost: 5, requestId: "r" }, told("admitted", { k: 0 })),
      call({ at: 30, mode: "peek" }, told("admitted", { k: 0 })),
    ],
    finds: ["charged_twice at 10", "charged_twice at 30"],
  },
  {
    rule: "a request_id that was charged is admitted again, also during a block",
    good: [
      call({ at: 0, limits: "w", cost: 15, requestId: "r" }, told("admitted", { w: 0 })),
      call({ at: 10, limits: "w" }, told("exceeded", { w: -500 })),
      call({ at: 100, limits: "w", cost: 15, requestId: "r" }, told("admitted", { w: -409 })),
    ],
    bad: [
      call({ at: 0, limits: "w", cost: 15, requestId: "r" }, told("admitted", { w: 0 })),
      call({ at: 10, limits: "w" }, told("exceeded", { w: -500 })),
      call({ at: 100, limits: "w", cost: 15, requestId: "r" }, told("blocked", { w: -409 })),
    ],
    finds: ["repeat_refused at 100"],
  },
  {
    rule: "of several limits all are charged, or none",
    good: [
      call({ at: 0, limits: "kw", cost: 8 }, told("admitted", { k: 2, w: 7 })),
      call({ at: 10, limits: "kw", cost: 5 }, told("exceeded", { k: 2, w: 7 })),
      call({ at: 20, limits: "kw", cost: 1 }, told("admitted", { k: 1, w: 6 })),
    ],
    bad: [
      call({ at: 0, limits: "kw", cost: 8 }, told("admitted", { k: 2, w: 15 })),
      call({ at: 10, limits: "kw", cost: 5 }, told("exceeded", { k: 2, w: 7 })),
      call({ at: 20, limits: "kw", cost: 1 }, told("admitted", { k: 1, w: 1 })),
      call({ at: 1030, limits: "kw", cost: 1 }, told("admitted", { k: 9 })),
    ],
    finds: ["partly_charged at 0", "partly_charged at 20", "limit_left_out at 1030"],
  },
  {
    rule: "by itself a process admits its share, beside the points of the store",
    good: [
      call({ at: 0, cost: 10 }, told("admitted", { k: 0 })),
      call({ at: 10, cost: 3 }, local("admitted")),
      call({ at: 20, cost: 3, process: "2" }, local("admitted")),
      call({ at: 1010, cost: 3 }, local("admitted")),
    ],
    bad: [
      call({ at: 0, cost: 10 }, told("admitted", { k: 0 })),
      call({ at: 10, cost: 3 }, local("admitted")),
      call({ at: 20, cost: 3, process: "2" }, local("admitted")),
      call({ at: 990, cost: 1, process: "2" }, local("admitted")),
    ],
    finds: ["local_share at 20"],
  },
  {
    rule: "a request_id that a process admitted by itself, and told, is its share's and not the store's",
    good: [
      call({ at: 0, cost: 10 }, told("admitted", { k: 0 })),
      call({ at: 10, cost: 3, requestId: "r" }, local("admitted")),
      call({ at: 20, cost: 3, requestId: "r", process: "2" }, told("admitted", { k: 0 })),
    ],
    bad: [
      call({ at: 0, cost: 10 }, told("admitted", { k: 0 })),
      call({ at: 10, cost: 3, requestId: "r" }, local("exceeded")),
      call({ at: 20, cost: 3, requestId: "r", process: "2" }, told("admitted", { k: 0 })),
      call({ at: 30, cost: 4, requestId: "s" }, local("admitted")),
    ],
    finds: ["over_admission at 0", "local_share at 30"],
  },
  {
    rule: "every call has an answer",
    good: [call({ at: 0, answeredMs: 4000 }, lost)],
    bad: [call({ at: 0, answeredMs: 5000 }, lost)],
    finds: ["no_answer at 0"],
  },
];

describe.each(table)("$rule", ({ good, bad, finds }) => {
  it("a history that keeps it is clean", () => {
    expect(broken(good)).toEqual([]);
  });

  it("one that does not is found", () => {
    expect(broken(bad)).toEqual(finds);
  });
});
