import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../log.ts";
import { restartDelayMs } from "./restart-delay.ts";
import type { StartOutcome, WorkerEnd, WorkerProcess } from "./worker-process.ts";

/** A worker that served for so long has not failed in a row with those before it. */
const HEALTHY_MS = 60_000;

/** The workers as one: as many as there should be, each with a number from 1 on. */
export interface Team {
  /** Those that take connections now, by number. */
  readonly serving: ReadonlyMap<number, WorkerProcess>;
  /** Starts all. Settles once all are ready, or at once with an outcome that is not "ready"; then stop it. */
  start(): Promise<StartOutcome>;
  /** Lets calls in flight end, then the workers, of which none is started any more; answers how they ended. */
  stop(): Promise<"in order" | "not in order">;
  /** Kills those that have not ended yet; answers how many. */
  cutShort(): number;
}

export interface TeamOptions {
  readonly size: number;
  readonly log: Log;
  /** Makes a process. May throw, where the system has none left. */
  readonly startWorker: (number: number) => WorkerProcess;
  readonly onServing: (worker: WorkerProcess) => void;
  /** What was serving has ended. */
  readonly onEnded: (worker: WorkerProcess, number: number) => void;
  /** One is about to be started in the place of one that ended. */
  readonly onRestart: (number: number) => void;
}

/** One worker's life. */
interface Life {
  readonly pid: number | undefined;
  readonly outcome: StartOutcome;
  readonly end: WorkerEnd;
  /** Since its start was over. */
  readonly servedMs: number;
}

/** Keeps so many workers serving: one that ends is started again, ever later if it ends in a row. */
export function createTeam({ size, log, ...options }: TeamOptions): Team {
  const serving = new Map<number, WorkerProcess>();
  const living = new Set<WorkerProcess>();
  const stopping = new AbortController();
  /** How the last life of each ended. */
  let ends: Promise<WorkerEnd>[] = [];

  async function live(number: number, onStarted: (outcome: StartOutcome) => void): Promise<Life> {
    let worker: WorkerProcess;
    try {
      worker = options.startWorker(number);
    } catch (error) {
      log.error({ err: error, worker: number }, "no process could be made for a worker");
      onStarted({ kind: "ended" });
      return NO_LIFE;
    }
    living.add(worker);
    const outcome = await worker.started;
    const startedMs = performance.now();
    if (outcome.kind === "ready" && !stopping.signal.aborted) {
      log.info({ worker: number, pid: worker.pid }, "a worker serves");
      serving.set(number, worker);
      options.onServing(worker);
    }
    onStarted(outcome);
    const end = await worker.ended;
    living.delete(worker);
    serving.delete(number);
    options.onEnded(worker, number);
    return { pid: worker.pid, outcome, end, servedMs: performance.now() - startedMs };
  }

  /** Lives in a row, until told to stop; or one, where not even the first began. Answers the last one's end. */
  async function keep(number: number, onFirst: (outcome: StartOutcome) => void): Promise<WorkerEnd> {
    let endsInARow = 0;
    let life = await live(number, onFirst);
    if (life.outcome.kind !== "ready") return life.end;
    while (!stopping.signal.aborted) {
      if (life.servedMs >= HEALTHY_MS && life.outcome.kind === "ready") endsInARow = 0;
      const delayMs = Math.round(restartDelayMs(endsInARow++, Math.random()));
      tellEnd(log, { number, life, delayMs });
      await delay(delayMs, undefined, { signal: stopping.signal }).catch(() => {});
      // Told meanwhile: nothing is left that could end badly.
      if (stopping.signal.aborted) return { code: 0, signal: null };
      options.onRestart(number);
      life = await live(number, () => {});
    }
    return life.end;
  }

  return {
    serving,
    start() {
      const starts: Promise<StartOutcome>[] = [];
      ends = Array.from({ length: size }, (_, index) => {
        let onFirst = (_outcome: StartOutcome): void => {};
        starts.push(
          new Promise((resolve) => {
            onFirst = resolve;
          }),
        );
        return keep(index + 1, onFirst);
      });
      return allReady(starts);
    },
    async stop() {
      stopping.abort();
      for (const worker of living) worker.stop();
      return (await Promise.all(ends)).every(({ code }) => code === 0) ? "in order" : "not in order";
    },
    cutShort() {
      for (const worker of living) worker.kill();
      return living.size;
    },
  };
}

const NO_LIFE: Life = {
  pid: undefined,
  outcome: { kind: "ended" },
  end: { code: null, signal: null },
  servedMs: 0,
};

/** The first outcome that is not "ready", at once; else one that is, once all are ready. */
async function allReady(starts: readonly Promise<StartOutcome>[]): Promise<StartOutcome> {
  const left = new Map(starts.map((start, index) => [index, start.then((outcome) => ({ index, outcome }))]));
  for (;;) {
    const { index, outcome } = await Promise.race(left.values());
    left.delete(index);
    if (outcome.kind !== "ready" || left.size === 0) return outcome;
  }
}

function tellEnd(log: Log, { number, life, delayMs }: { number: number; life: Life; delayMs: number }): void {
  const { pid, outcome, end } = life;
  const fields = { worker: number, pid, restart_in_ms: delayMs };
  if (outcome.kind === "failed") {
    log.error({ ...fields, problem: outcome.notes.join("\n") }, "a worker could not start");
  } else {
    log.error({ ...fields, exit_code: end.code, signal: end.signal }, "a worker has ended");
  }
}
