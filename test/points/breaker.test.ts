import { expect, test } from "vitest";
import { type BreakerState, createBreaker } from "../../src/points/breaker.ts";

function createTimed() {
  const clock = { ms: 1000 };
  const states: BreakerState[] = [];
  const breaker = createBreaker({ now: () => clock.ms, onState: (state) => states.push(state) });
  return { clock, states, breaker };
}

/** Opens it: one failure after another. */
function failInARow({ breaker }: Pick<ReturnType<typeof createTimed>, "breaker">, times: number): void {
  for (let time = 0; time < times; time++) breaker.attempt()?.failed();
}

test("three failures in a row open it, two do not", () => {
  const timed = createTimed();
  failInARow(timed, 2);
  expect(timed.breaker.state).toBe("closed");
  failInARow(timed, 1);
  expect(timed.breaker.state).toBe("open");
  expect(timed.breaker.attempt()).toBeUndefined();
});

test("a success between them begins the count anew", () => {
  const timed = createTimed();
  failInARow(timed, 2);
  timed.breaker.attempt()?.succeeded();
  failInARow(timed, 2);
  expect(timed.breaker.state).toBe("closed");
});

test("calls that were under way together count as one failure", () => {
  const { breaker, clock } = createTimed();
  const attempts = Array.from({ length: 1000 }, () => breaker.attempt());
  clock.ms += 25;
  for (const attempt of attempts) attempt?.failed();
  expect(breaker.state).toBe("closed");
});

test("after a moment one call at a time probes, and a success closes it", () => {
  const timed = createTimed();
  const { breaker, clock, states } = timed;
  failInARow(timed, 3);
  clock.ms += 249;
  expect(breaker.attempt()).toBeUndefined();
  clock.ms += 1;
  const probe = breaker.attempt();
  expect(breaker.attempt()).toBeUndefined();
  probe?.succeeded();
  expect(breaker.attempt()).toBeDefined();
  expect(states).toEqual(["open", "half_open", "closed"]);
});

test("a probe that fails opens it for another moment", () => {
  const timed = createTimed();
  const { breaker, clock, states } = timed;
  failInARow(timed, 3);
  clock.ms += 250;
  breaker.attempt()?.failed();
  expect(breaker.attempt()).toBeUndefined();
  clock.ms += 250;
  expect(breaker.attempt()).toBeDefined();
  expect(states).toEqual(["open", "half_open", "open", "half_open"]);
});

test("a probe that tells nothing lets the next call probe", () => {
  const timed = createTimed();
  failInARow(timed, 3);
  timed.clock.ms += 250;
  timed.breaker.attempt()?.ended();
  timed.breaker.attempt()?.succeeded();
  expect(timed.breaker.state).toBe("closed");
});

test("a call from before it opened closes it when it succeeds, and keeps it open no longer when it fails", () => {
  const timed = createTimed();
  const { breaker, clock } = timed;
  const [early, late] = [breaker.attempt(), breaker.attempt()];
  clock.ms += 1;
  failInARow(timed, 3);
  clock.ms += 249;
  early?.failed();
  clock.ms += 1;
  const probe = breaker.attempt();
  expect(probe).toBeDefined();
  late?.succeeded();
  expect(breaker.state).toBe("closed");
  probe?.failed();
  expect(breaker.state).toBe("closed");
});
