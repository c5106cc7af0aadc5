import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { storeUnavailable } from "../../src/core/errors.ts";
import { settledBy } from "../../src/core/settled-by.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

const failure = storeUnavailable("postgres", new Error("too late"));
const missed = () => failure;
const inMs = (ms: number) => performance.now() + ms;
const never = () => new Promise<never>(() => {});

/** A promise, settled when it is told to. */
function pending() {
  let resolve = (_value: string): void => {};
  let reject = (_error: Error): void => {};
  const promise = new Promise<string>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

test("work that settles in time is answered as it settles, is never told as missed, and leaves no timer", async () => {
  const onMissed = vi.fn<() => void>();
  const good = pending();
  const bad = pending();
  const answer = settledBy(good.promise, { deadline: inMs(100), missed, onMissed });
  const thrown = settledBy(bad.promise, { deadline: inMs(100), missed, onMissed });
  vi.advanceTimersByTime(99);
  good.resolve("done");
  bad.reject(new Error("broken"));
  expect(await answer).toBe("done");
  await expect(thrown).rejects.toThrow("broken");
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(100);
  expect(onMissed).not.toHaveBeenCalled();
});

test("work that goes on at the deadline is told as missed, once, before the caller learns of it", async () => {
  const order: string[] = [];
  const waiting = settledBy(never(), {
    deadline: inMs(100),
    missed,
    onMissed: () => order.push("missed"),
  }).catch((error: unknown) => order.push(error === failure ? "failed" : String(error)));
  vi.advanceTimersByTime(99);
  await setImmediate();
  expect(order).toEqual([]);
  vi.advanceTimersByTime(1);
  await waiting;
  expect(order).toEqual(["missed", "failed"]);
});

test("what onMissed does to the work does not become the caller's error, nor anybody's", async () => {
  const work = pending();
  const onMissed = () => work.reject(new Error("the connection is closed"));
  const waiting = settledBy(work.promise, { deadline: inMs(100), missed, onMissed });
  vi.advanceTimersByTime(100);
  await expect(waiting).rejects.toBe(failure);
  // An unhandled rejection would be seen by then, and fails the run.
  await setImmediate();
});

test("after the deadline, what has settled is answered, and what has not fails at once", async () => {
  expect(await settledBy(Promise.resolve("done"), { deadline: inMs(-1), missed })).toBe("done");
  const waiting = settledBy(never(), { deadline: inMs(-1), missed });
  vi.advanceTimersByTime(1);
  await expect(waiting).rejects.toBe(failure);
});

test.each([2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY])(
  "a deadline of %d ms, more than a timer takes, does not pass at once",
  async (ms) => {
    const work = pending();
    const waiting = settledBy(work.promise, { deadline: inMs(ms), missed });
    vi.advanceTimersByTime(60_000);
    work.resolve("done");
    expect(await waiting).toBe("done");
  },
);
