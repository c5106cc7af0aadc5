import { TollgateError } from "../core/errors.ts";
import { parseDuration } from "./duration.ts";
import type { Expected } from "./test-file.ts";

/** What a step came to, as facts by the names of `expect`. */
export type Outcome = { readonly [Fact in keyof Expected]?: Expected[Fact] | number | readonly string[] } & {
  /** Why, for whoever reads a failure; asked only then. */
  readonly detail: () => Promise<string>;
};

export const NO_DETAIL = async (): Promise<string> => "";

/** One thing that a step does, and what to call it in a failure. */
export interface Action {
  readonly label: string;
  /** Throws TollgateError where it cannot be decided or done. */
  readonly run: () => Promise<Outcome>;
}

/** A step that cannot be played: it names what is not there, or expects what no answer has. */
export class StepError extends Error {}

/** Throws what is no error of Tollgate's. */
export function outcomeOfError(error: unknown): Outcome {
  if (!(error instanceof TollgateError)) throw error;
  return { error: error.reason, status: statusOfError(error), detail: async () => error.message };
}

function statusOfError(error: TollgateError): number | undefined {
  const status = error.metadata["http_status"];
  return status === undefined ? undefined : Number(status);
}

const DURATIONS: readonly (keyof Expected)[] = ["retry_after", "blocked", "window"];
const SETS: readonly (keyof Expected)[] = ["permissions", "scopes", "required_scopes", "locations"];

/** What came out differently than expected; facts that are not stated are not compared. */
export async function differences(outcome: Outcome, expected: Expected): Promise<readonly string[]> {
  if (outcome.error !== expected.error || outcome.reason !== expected.reason) {
    const detail = await outcome.detail();
    return [`expected ${verdict(expected)}, got ${verdict(outcome)}.${detail === "" ? "" : ` ${detail}`}`];
  }
  const facts = Object.keys(expected) as (keyof Expected)[];
  return facts
    .filter((fact) => comparable(fact, outcome[fact]) !== comparable(fact, wanted(fact, expected)))
    .map((fact) => `expected ${fact} ${show(expected[fact])}, got ${show(outcome[fact])}.`);
}

function wanted(fact: keyof Expected, expected: Expected): unknown {
  const stated = expected[fact];
  return DURATIONS.includes(fact) && typeof stated === "string" ? parseDuration(stated) : stated;
}

function verdict(of: { readonly error?: unknown; readonly reason?: unknown }): string {
  if (typeof of.error === "string") return `the error ${of.error}`;
  return typeof of.reason === "string" ? of.reason : "no refusal";
}

/** Lists of names are compared as sets, and metadata whatever its order. */
function comparable(fact: keyof Expected, value: unknown): string {
  if (Array.isArray(value) && SETS.includes(fact)) return value.map(String).toSorted().join("\n");
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return Object.entries(value)
      .map(([name, entry]) => `${name}: ${JSON.stringify(entry)}`)
      .toSorted()
      .join("\n");
  }
  return show(value);
}

function show(value: unknown): string {
  return Array.isArray(value) ? `[${value.join(", ")}]` : (JSON.stringify(value) ?? "nothing");
}
