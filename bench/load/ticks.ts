import { Worker } from "node:worker_threads";

/**
 * Calls `onTick` again and again, also more often than once a millisecond, which is the finest that a timer of
 * the event loop can: a thread sleeps as long and then says so. Ticks are late when the machine is busy.
 */
export function startTicks(periodMs: number, onTick: () => void): { stop(): void } {
  const worker = new Worker(sleeper, { eval: true, workerData: periodMs, execArgv: [] });
  let isStopped = false;
  worker.on("message", () => {
    if (!isStopped) onTick();
  });
  return {
    stop() {
      isStopped = true;
      void worker.terminate();
    },
  };
}

const sleeper = `
  const { parentPort, workerData: periodMs } = require("node:worker_threads");
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let next = performance.now() + periodMs; ; next = Math.max(next + periodMs, performance.now())) {
    Atomics.wait(never, 0, 0, Math.max(0, next - performance.now()));
    parentPort.postMessage(0);
  }
`;
