import { expect, test, vi } from "vitest";
import { createLog } from "../../src/log.ts";
import { createTeam } from "../../src/workers/team.ts";
import type { StartOutcome, WorkerEnd, WorkerProcess } from "../../src/workers/worker-process.ts";
import { until } from "../support/until.ts";

const READY: StartOutcome = { kind: "ready", lines: "ready" };

/** A worker whose start and end the test decides. */
function createWorker() {
  let begin = (_outcome: StartOutcome): void => {};
  let end = (_end: WorkerEnd): void => {};
  const worker: WorkerProcess = {
    pid: 1,
    started: new Promise((resolve) => {
      begin = resolve;
    }),
    ended: new Promise((resolve) => {
      end = (how) => {
        begin({ kind: "ended" });
        resolve(how);
      };
    }),
    hand: () => Promise.reject(new Error("nothing is handed over here")),
    ask: () => Promise.resolve(undefined),
    reload() {},
    stop: () => end({ code: 0, signal: null }),
    kill: () => end({ code: null, signal: "SIGKILL" }),
  };
  return { worker, begin, end };
}

function createWorld(size: number) {
  const workers: (ReturnType<typeof createWorker> & { number: number })[] = [];
  const lines: { msg: string; restart_in_ms?: number }[] = [];
  const restarts: number[] = [];
  const team = createTeam({
    size,
    log: createLog({ level: "info", destination: { write: (line) => void lines.push(JSON.parse(line)) } }),
    startWorker(number) {
      const made = createWorker();
      workers.push({ ...made, number });
      return made.worker;
    },
    onServing() {},
    onEnded() {},
    onRestart: (number) => restarts.push(number),
  });
  const delays = () => lines.flatMap((line) => line.restart_in_ms ?? []);
  return { team, workers, restarts, delays };
}

test("it is ready when the last worker is", async () => {
  const { team, workers } = createWorld(3);
  let outcome: StartOutcome | undefined;
  const started = team.start().then((it) => {
    outcome = it;
    return it;
  });
  workers[2]?.begin(READY);
  workers[0]?.begin(READY);
  await until(() => team.serving.size === 2);
  expect(outcome).toBeUndefined();
  workers[1]?.begin(READY);
  expect(await started).toEqual(READY);
  expect(await team.stop()).toBe("in order");
});

test("the first start that fails is told at once, and not tried again", async () => {
  const { team, workers, restarts } = createWorld(3);
  const started = team.start();
  workers[0]?.begin(READY);
  workers[1]?.begin({ kind: "failed", notes: ["why"], status: 1 });
  expect(await started).toEqual({ kind: "failed", notes: ["why"], status: 1 });
  workers[1]?.end({ code: 1, signal: null });
  expect(await team.stop()).toBe("not in order");
  expect([workers.length, restarts]).toEqual([3, []]);
});

test("a worker that ends is started again, ever later, and soon again after a minute of health", async () => {
  let nowMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => nowMs);
  const { team, workers, restarts, delays } = createWorld(1);
  const started = team.start();
  workers[0]?.begin(READY);
  await started;
  for (const servedMs of [0, 59_999, 60_000]) {
    nowMs += servedMs;
    const before = workers.length;
    workers.at(-1)?.end({ code: null, signal: "SIGKILL" });
    await until(() => workers.length > before);
    workers.at(-1)?.begin(READY);
    await until(() => team.serving.size === 1);
  }
  workers.at(-1)?.end({ code: null, signal: "SIGKILL" });
  await until(() => workers.length === 5);
  const between = (shortest: number, longest: number) =>
    expect.toSatisfy((ms: number) => ms >= shortest && ms <= longest);
  expect(delays()).toEqual([between(50, 100), between(100, 200), between(50, 100), between(100, 200)]);
  expect(restarts).toEqual([1, 1, 1, 1]);
  expect(await team.stop()).toBe("in order");
});

test("told to stop while a worker waits to be started again, it starts none", async () => {
  const { team, workers, delays } = createWorld(2);
  const started = team.start();
  for (const { begin } of workers) begin(READY);
  await started;
  workers[0]?.end({ code: 1, signal: null });
  await until(() => delays().length === 1);
  expect(await team.stop()).toBe("in order");
  expect(workers).toHaveLength(2);
});

test("workers that are killed have not ended in order", async () => {
  const { team, workers } = createWorld(2);
  const started = team.start();
  for (const { begin, worker } of workers) {
    worker.stop = () => {};
    begin(READY);
  }
  await started;
  const stopped = team.stop();
  expect(team.cutShort()).toBe(2);
  expect(await stopped).toBe("not in order");
});
