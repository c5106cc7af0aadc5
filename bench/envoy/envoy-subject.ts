import type { EnvoyProcess } from "./envoy-process.ts";

/** Envoy with a filter, or none, and what answers the filter. */
export interface EnvoySubject {
  readonly name: string;
  readonly envoy: EnvoyProcess;
  /** What the filter asks; undefined: there is no filter. */
  readonly service?: { readonly pid: number; readonly redis: { readonly pid: number } };
  /** Of one request each, sent in turn. */
  readonly headers: readonly Readonly<Record<string, string>>[];
  /** Envoy's counters of requests that were let pass because the service said so: one more a request in each. */
  readonly passedCounters: readonly string[];
  /** How often something has happened that must not happen while it is measured, by what it is. */
  faults(): Promise<Readonly<Record<string, number>>>;
  stop(): Promise<void>;
}
