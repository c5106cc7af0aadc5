import type { LimitShape } from "../../src/core/policy.ts";

/** A limit, and the requests of one point each that it is asked about. Times are from the first request. */
export interface Story {
  /** Of the file. */
  readonly name: string;
  readonly title: string;
  /** What the drawing shows, in a line. */
  readonly subtitle: string;
  readonly limit: {
    readonly shape: LimitShape;
    readonly points: number;
    readonly windowMs: number;
    /** 0: none. */
    readonly blockMs: number;
  };
  /** When each is made, in order, in ms. */
  readonly requestsMs: readonly number[];
  readonly lastsMs: number;
  /** What the drawing says about the run. */
  readonly notes: (run: StoryRun) => readonly Note[];
}

/** What Redis decided. */
export interface StoryRun {
  readonly requests: readonly DecidedRequest[];
  /** Spent points over time, in order; two of one moment are before and after a request. */
  readonly spent: readonly { readonly atMs: number; readonly points: number }[];
}

export interface DecidedRequest {
  readonly atMs: number;
  readonly outcome: "admitted" | "exceeded" | "blocked";
  readonly retryAfterMs: number;
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly text: string;
}

/** Those below the time axis have a row each, in this order. */
export type Note =
  /** An interval, and the charges that it holds. */
  | (Span & { readonly kind: "interval"; readonly chargesMs: readonly number[] })
  /** From a charge to when it no longer counts. */
  | (Span & { readonly kind: "charge"; readonly chargesMs: readonly number[] })
  /** From a refusal to when its cost passes. */
  | (Span & { readonly kind: "wait" })
  /** Shaded over the spent points: a window of `fixed`, or a block. */
  | (Span & { readonly kind: "window" | "block" });
