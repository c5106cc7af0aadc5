import { type ChildProcess, fork } from "node:child_process";
import type { Socket } from "node:net";
import type { ExitStatus } from "../cli/exit.ts";
import type { Config } from "../config.ts";
import type { Taker } from "./handover.ts";
import type { Answer, Order, Question, Report, WorkerPlace } from "./messages.ts";

/** How long a worker has to answer a question; one that does not is busy, or stands still. */
const ANSWER_MS = 1000;

export interface WorkerStart {
  /** The program that it runs. */
  readonly program: string;
  readonly config: Config;
  readonly place: WorkerPlace;
  readonly asJson: boolean;
  /** Told how many connections it holds. */
  readonly onConnections: (open: number) => void;
  /** Told that it was told to stop, by another: it is to be handed no more, and then to be stopped. */
  readonly onLeaving: () => void;
}

/** How a start went. */
export type StartOutcome =
  | { readonly kind: "ready"; readonly lines: string }
  | { readonly kind: "failed"; readonly notes: readonly string[]; readonly status: ExitStatus }
  /** It ended without a word. */
  | { readonly kind: "ended" };

/** A worker's end as the system tells it; both null where no process could be made. */
export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One worker, from its start to its end. Nothing here throws when it is gone. */
export interface WorkerProcess extends Taker {
  readonly pid: number | undefined;
  readonly started: Promise<StartOutcome>;
  readonly ended: Promise<WorkerEnd>;
  /** Undefined where it does not answer within a second. */
  ask(what: Question): Promise<Answer | undefined>;
  reload(): void;
  /** Tells it to let calls in flight end, and to end. */
  stop(): void;
  /** SIGKILL. */
  kill(): void;
}

/** Starts a worker's process, and its start. */
export function startWorkerProcess(start: WorkerStart): WorkerProcess {
  // "advanced": the configuration holds bigints. Its standard streams are ours.
  const child = fork(start.program, [], { serialization: "advanced" });
  const ended = endOf(child);
  /** Handed over and not answered, in the order of sending. */
  const handed: { taken: () => void; lost: (error: Error) => void }[] = [];
  const asked = new Map<number, (answer: Answer | undefined) => void>();
  let lastId = 0;

  /** Where the channel is closed nothing is to be done: its end is told apart from this. */
  function tell(order: Order, socket?: Socket): void {
    if (child.connected) child.send(order, socket, { keepOpen: true }, () => {});
  }

  const started = new Promise<StartOutcome>((resolve) => {
    void ended.then(() => resolve({ kind: "ended" }));
    child.on("message", (message) => {
      const report = message as Report;
      if (report.kind === "ready" || report.kind === "failed") resolve(report);
      else if (report.kind === "taken") handed.shift()?.taken();
      else if (report.kind === "leaving") start.onLeaving();
      else if (report.kind === "connections") start.onConnections(report.open);
      else asked.get(report.id)?.(report.answer);
    });
  });
  /** Nobody waits for one that is gone. */
  async function letGo(): Promise<void> {
    await ended;
    for (const { lost } of handed.splice(0)) lost(new Error("the worker ended"));
    for (const answer of asked.values()) answer(undefined);
  }

  void letGo();
  tell({ kind: "start", config: start.config, place: start.place, asJson: start.asJson });

  return {
    pid: child.pid,
    started,
    ended,
    hand(socket) {
      return new Promise((taken, lost) => {
        if (!child.connected) {
          lost(new Error("the worker ended"));
          return;
        }
        handed.push({ taken, lost });
        tell({ kind: "connection" }, socket);
      });
    },
    ask(what) {
      return new Promise((resolve) => {
        if (!child.connected) {
          resolve(undefined);
          return;
        }
        const id = ++lastId;
        const settle = (answer: Answer | undefined) => {
          clearTimeout(timer);
          asked.delete(id);
          resolve(answer);
        };
        const timer = setTimeout(() => settle(undefined), ANSWER_MS);
        asked.set(id, settle);
        tell({ kind: "ask", id, what });
      });
    },
    reload: () => tell({ kind: "reload" }),
    stop: () => tell({ kind: "stop" }),
    kill: () => void child.kill("SIGKILL"),
  };
}

/** Settles when all that it said is read, too: the system tells of the end first. */
function endOf(child: ChildProcess): Promise<WorkerEnd> {
  const exited = new Promise<WorkerEnd>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.on("error", () => {
      // Of a process that there is, an error says only that a message or a signal did not arrive.
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
  const silent = new Promise<void>((resolve) => child.once("disconnect", resolve));
  return exited.then(async (end) => {
    if (child.connected) await silent;
    return end;
  });
}
