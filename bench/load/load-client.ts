/** A phase ends when it has lasted `minMs` and made `minCalls`, and in any case after `maxCalls` or `maxMs`. */
export interface LoadBounds {
  readonly minMs: number;
  readonly minCalls: number;
  readonly maxMs: number;
  readonly maxCalls: number;
}

export interface LoadPhase extends LoadBounds {
  /** How many callers take part; default: all. */
  readonly inFlight?: number;
  /** Begun at this pace, however fast answers come; default: each answer makes room for the next call. */
  readonly callsPerSecond?: number;
}

export interface LoadResult {
  /** All calls, whatever came back. */
  readonly calls: number;
  /** From the first call to the last answer. */
  readonly elapsedMs: number;
  /**
   * How many by outcome. Of gRPC calls: grpc-status, `http 503` for an answer that is not gRPC, `stream …` for
   * one that never came. Of HTTP requests: the status code.
   */
  readonly statuses: Readonly<Record<string, number>>;
  /** gRPC answers of status 0 that do not begin with the expected bytes. */
  readonly unexpected: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoadClient {
  /** Makes calls until the bounds are met, then waits for the last answer. */
  run(phase: LoadPhase): Promise<LoadResult>;
  close(): void;
}

/** What came back, as LoadResult counts it. */
export interface Outcome {
  readonly status: string;
  readonly isUnexpected: boolean;
}

/** Makes a call, and answers when it has been answered; one at a time. Throws when its connection is lost. */
export type Caller = () => Promise<Outcome>;
