import type { ExitStatus } from "../cli/exit.ts";
import type { Config } from "../config.ts";
import type { ListenAddress } from "../http2/listen-address.ts";
import type { MetricsSample } from "../metrics.ts";

/** What the supervisor tells a worker, in this order: a start, then anything. */
export type Order =
  /** The configuration as it was read once: files and pipes that held secrets may be gone later. */
  | { readonly kind: "start"; readonly config: Config; readonly place: WorkerPlace; readonly asJson: boolean }
  /** With a socket, which the worker may read once it has answered "taken". */
  | { readonly kind: "connection" }
  | { readonly kind: "ask"; readonly id: number; readonly what: Question }
  | { readonly kind: "reload" }
  | { readonly kind: "stop" };

export interface WorkerPlace {
  /** 1 to the number of workers; the one that takes a dead one's place has its number. */
  readonly worker: number;
  /** Where the supervisor listens for all. */
  readonly address: ListenAddress;
}

export type Question = "health" | "metrics";

/** What a worker tells the supervisor: ready or failed, once, and the rest while it is ready. */
export type Report =
  /** `lines`: what a person at the terminal should read. */
  | { readonly kind: "ready"; readonly lines: string }
  /** It cannot start. `notes`: lines that say why; `status`: what the process would exit with. */
  | { readonly kind: "failed"; readonly notes: readonly string[]; readonly status: ExitStatus }
  /** The oldest connection that was handed over and not answered yet is this worker's now. */
  | { readonly kind: "taken" }
  /** It was told to stop by a signal of its own: it is to be handed no more connections, and then to stop. */
  | { readonly kind: "leaving" }
  /** How many connections it holds. */
  | { readonly kind: "connections"; readonly open: number }
  | { readonly kind: "answer"; readonly id: number; readonly answer: Answer };

export interface Answer {
  readonly isServing: boolean;
  /** Empty unless it was asked for. */
  readonly metrics: MetricsSample;
}
