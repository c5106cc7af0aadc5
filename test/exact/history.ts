/** A limit of the policy that a history was made under. All are sliding. */
export interface ExactLimit {
  readonly name: string;
  readonly points: number;
  readonly windowMs: number;
  /** 0: none. */
  readonly blockMs: number;
}

/** One decision as its client saw it. */
export interface Decision {
  /** Both on the client's monotonic clock. What the call did, it did in between, or a little later (`Rules.lateMs`). */
  readonly sentMs: number;
  readonly answeredMs: number;
  /** The start of a server process that was asked: a restart is another one. */
  readonly process: string;
  /** The bucket of each limit that applies, by the limit's name. */
  readonly buckets: Readonly<Record<string, string>>;
  readonly cost: number;
  readonly mode: "enforce" | "peek";
  /** Empty: none. */
  readonly requestId: string;
  readonly answer: Answer;
}

export type Answer =
  | {
      readonly kind: "decided";
      /** The store, or the process by its own share of the limits. */
      readonly by: "store" | "local";
      readonly outcome: "admitted" | "exceeded" | "blocked";
      readonly states: readonly ToldState[];
    }
  /** An error, or that the points store was not there: it may have been charged, at most once. */
  | { readonly kind: "undecided"; readonly why: string };

/** What an answer told of one limit. */
export interface ToldState {
  readonly limit: string;
  readonly remaining: number;
  readonly blockedMs: number;
}

/** What a history is judged by. */
export interface Rules {
  readonly limits: readonly ExactLimit[];
  /** How long after its answer a call that ended without the store's word may still be charged. */
  readonly lateMs: number;
  /** How long after an outage what was decided locally may be charged to the store. */
  readonly toldLaterMs: number;
  /** Replicas that were alive at any time, at least: what a local share is a part of. */
  readonly leastReplicas: number;
  /** A call without any answer for so long hangs. */
  readonly longestAnswerMs: number;
}
