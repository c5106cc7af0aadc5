import fc from "fast-check";
import type { LimitShape } from "../../src/core/policy.ts";
import type { PointsMode } from "../../src/core/ports.ts";

/** Limits, and what two subjects take from them over time. */
export interface PointsHistory {
  readonly limits: readonly LimitPlan[];
  readonly turns: readonly TurnPlan[];
  /** A bucket whose stored state is not one; undefined: none. */
  readonly broken: { readonly limit: number; readonly subject: 0 | 1 } | undefined;
}

/** What has two values changes with the plan. */
export interface LimitPlan {
  readonly shape: LimitShape;
  readonly windowMs: number;
  readonly shadow: boolean;
  readonly blockMs: readonly [number, number];
  readonly points: readonly [number, number];
}

/** Takes that come at once. */
export interface TurnPlan {
  readonly when: Step | Anniversary;
  readonly extraUs: number;
  readonly takes: readonly TakePlan[];
}

/** From the turn before. */
export interface Step {
  /** In thousandths of the first limit's window; below 0: the clock is set back. */
  readonly step: number;
}

/** When something that an earlier turn may have begun ends. */
export interface Anniversary {
  readonly of: "window" | "sub-window" | "block" | "request_id";
  readonly limit: number;
  /** 0: the turn before. */
  readonly turnsBack: number;
  /** How many such lengths later. */
  readonly times: number;
}

export interface TakePlan {
  /** Index in the limits → the cost's share of the points, in thousandths; all of them in shadow: one point more. */
  readonly costs: readonly number[];
  readonly first: number;
  readonly plan: 0 | 1;
  readonly subject: 0 | 1;
  readonly mode: PointsMode;
  /** What it costs in mode record, instead of twice the share; 0: that. */
  readonly recorded: number;
  readonly requestId: string;
  /** It reaches the store after its time. */
  readonly late: boolean;
}

const DAY = 86_400_000;
/** Up to the longest that a policy can state. */
const windowsMs = [1, 59, 60, 61, 1000, 7777, 60_000, 3_600_000, 30 * DAY];

const points = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(300, 7919, 2 ** 32 - 1));
const blockMs = fc.constantFrom(0, 1, 500, 60_000, 30 * DAY);

const shadow = fc.constantFrom(false, false, false, true);

const limitPlan: fc.Arbitrary<LimitPlan> = fc.record({
  shape: fc.constantFrom<LimitShape>("sliding", "sliding", "fixed", "bucket"),
  windowMs: fc.constantFrom(...windowsMs),
  shadow,
  blockMs: fc.oneof(fc.constant<[number, number]>([0, 0]), fc.tuple(blockMs, blockMs)),
  points: fc.tuple(points, points),
});

const share = fc.oneof(
  // Many fit, at different times.
  fc.integer({ min: 1, max: 150 }),
  fc.integer({ min: 0, max: 1000 }),
  fc.constantFrom(0, 1, 500, 1000),
);

const takePlan: fc.Arbitrary<TakePlan> = fc.record({
  costs: fc.array(share, { minLength: 1, maxLength: 3 }),
  first: fc.nat(2),
  plan: fc.constantFrom<0 | 1>(0, 0, 0, 1),
  subject: fc.constantFrom<0 | 1>(0, 0, 1),
  mode: fc.constantFrom<PointsMode>("enforce", "enforce", "enforce", "peek", "record"),
  // The largest of one charge, and what many of those come to.
  recorded: fc.constantFrom(0, 0, 0, 2 ** 32 - 1, 2 ** 39 + 1, 2 ** 53),
  requestId: fc.constantFrom("", "", "a", "b"),
  late: fc.integer({ min: 0, max: 15 }).map((chance) => chance === 15),
});

const step: fc.Arbitrary<Step> = fc.record({
  step: fc.oneof(
    fc.integer({ min: -1000, max: 300 }),
    fc.constantFrom(0, 0, 8, 16, 17, 17, 34, 500, 983, 984, 1000, 2000, 20_000, 130_000),
  ),
});

function anniversary(...of: readonly Anniversary["of"][]): fc.Arbitrary<Anniversary> {
  return fc.record({
    of: fc.constantFrom(...of),
    limit: fc.nat(2),
    turnsBack: fc.constantFrom(0, 1, 1, 2, 3, 4),
    times: fc.constantFrom(1, 1, 1, 2, 3),
  });
}

const turnPlan: fc.Arbitrary<TurnPlan> = fc.record({
  when: fc.oneof(step, anniversary("window", "sub-window", "block", "request_id")),
  extraUs: fc.constantFrom(0, 0, 0, 1, -1, 333),
  takes: fc.array(takePlan, { minLength: 1, maxLength: 6 }),
});

const broken = fc.option(fc.record({ limit: fc.nat(2), subject: fc.constantFrom<0 | 1>(0, 1, 1) }), {
  freq: 3,
  nil: undefined,
});

/** A bit of everything. */
const mixture: fc.Arbitrary<PointsHistory> = fc.record({
  limits: fc.array(limitPlan, { minLength: 1, maxLength: 3 }),
  turns: fc.array(turnPlan, { minLength: 1, maxLength: 14 }),
  broken,
});

const shortBlockMs = fc.constantFrom(0, 1, 500, 500);

/** Small charges, a little apart, of which many count at once, and leave one after another. */
const trickle: fc.Arbitrary<PointsHistory> = fc.record({
  limits: fc.array(
    fc.record({
      shape: fc.constantFrom<LimitShape>("sliding", "sliding", "sliding", "fixed", "bucket"),
      // A sixtieth of those that come twice is whole.
      windowMs: fc.constantFrom(60, 60, 61, 1000, 7777, 60_000, 60_000),
      shadow,
      blockMs: shortBlockMs.map((ms): [number, number] => [ms, ms]),
      points: fc.integer({ min: 4, max: 12 }).map((count): [number, number] => [count, count + 3]),
    }),
    { minLength: 1, maxLength: 2 },
  ),
  turns: fc.array(
    fc.record({
      when: fc.oneof(
        fc.record({ step: fc.constantFrom(0, 5, 5, 10, 10, 17, 34, 100, 150) }),
        anniversary("window", "window", "sub-window", "sub-window", "block"),
      ),
      extraUs: fc.constantFrom(0, 0, 0, 0, 1, -1),
      takes: fc.array(
        fc.record({
          costs: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 2, maxLength: 2 }),
          first: fc.constant(0),
          plan: fc.constantFrom<0 | 1>(0, 0, 0, 1),
          subject: fc.constant<0>(0),
          mode: fc.constantFrom<PointsMode>("enforce", "enforce", "enforce", "record", "peek"),
          recorded: fc.constant(0),
          requestId: fc.constant(""),
          late: fc.constant(false),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    }),
    { minLength: 8, maxLength: 24 },
  ),
  broken: fc.constant(undefined),
});

export const pointsHistory: fc.Arbitrary<PointsHistory> = fc.oneof(mixture, trickle);
