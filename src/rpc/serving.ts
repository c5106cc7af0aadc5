/** Whether this process should be sent calls, and what it knows of its stores. */
export interface ServingReport {
  readonly serving: boolean;
  /** Store, such as "postgres" or "redis" → whether it answers. A store may fail while calls are served. */
  readonly stores: Readonly<Record<string, boolean>>;
}

export interface Serving {
  /** Asked at each health call, and once a second for those who watch; must not do I/O. */
  readonly report: () => ServingReport;
  /** Aborted when the process stops: watches then end, after they have told so. */
  readonly stopping: AbortSignal;
}

export function isServing(serving: Serving): boolean {
  return !serving.stopping.aborted && serving.report().serving;
}
