import type { Answer, Decision, ExactLimit, Rules, ToldState } from "./history.ts";

/** One charge of a bucket in the store, made at some time from `fromMs` to `toMs`. */
export interface ExactCharge {
  readonly fromMs: number;
  readonly toMs: number;
  readonly cost: number;
  /** It was made; otherwise it may have been. */
  readonly isSure: boolean;
  /**
   * A process admitted it by its own share, too. The store may have been told so later, which charges whatever is
   * left, and have admitted only the repeat.
   */
  readonly isLocal: boolean;
}

/** A decision of the store, with what it told of this bucket. */
export interface Sight {
  readonly decision: Decision;
  readonly outcome: "admitted" | "exceeded" | "blocked";
  readonly state: ToldState;
  /** The charge that admitted it, in this call or in an earlier one with the same request_id. */
  readonly own: ExactCharge | undefined;
  /** Another call with the same request_id was sent before this one was answered. */
  readonly mayRepeat: boolean;
}

/** All that a history says of one bucket. */
export interface BucketHistory {
  readonly bucket: string;
  readonly limit: ExactLimit;
  readonly decisions: readonly Decision[];
  readonly sights: readonly Sight[];
  /** By `fromMs`. */
  readonly charges: readonly ExactCharge[];
}

export function bucketHistories(history: readonly Decision[], rules: Rules): BucketHistory[] {
  const limits = new Map(rules.limits.map((limit) => [limit.name, limit]));
  const found = new Map<string, { bucket: string; limit: ExactLimit; decisions: Decision[] }>();
  for (const decision of history) {
    for (const [limitName, bucket] of Object.entries(decision.buckets)) {
      const limit = limits.get(limitName);
      if (limit === undefined) throw new Error(`the rules have no limit ${limitName}`);
      const id = `${limitName}\n${bucket}`;
      const known = found.get(id);
      if (known === undefined) found.set(id, { bucket, limit, decisions: [decision] });
      else known.decisions.push(decision);
    }
  }
  return [...found.values()].map(({ bucket, limit, decisions }) => {
    const attempts = attemptsOf(decisions);
    const charges: ExactCharge[] = [];
    const sights: Sight[] = [];
    for (const group of attempts) {
      const charge = storeCharge(group, rules);
      if (charge !== undefined) charges.push(charge);
      charges.push(...toldLater(group, rules));
      for (const decision of group) {
        const sight = sightOf(decision, { limit, charge, group });
        if (sight !== undefined) sights.push(sight);
      }
    }
    charges.sort((a, b) => a.fromMs - b.fromMs);
    return { bucket, limit, decisions, sights, charges };
  });
}

/** Calls of one request_id together; each other call alone. */
export function attemptsOf(decisions: readonly Decision[]): Decision[][] {
  const alone: Decision[][] = [];
  const byId = new Map<string, Decision[]>();
  for (const decision of decisions) {
    // A peek neither looks at ids nor leaves any.
    if (decision.requestId === "" || decision.mode === "peek") {
      alone.push([decision]);
      continue;
    }
    const known = byId.get(decision.requestId);
    if (known === undefined) byId.set(decision.requestId, [decision]);
    else known.push(decision);
  }
  return [...alone, ...byId.values()];
}

export function isCharge({ mode, cost }: Decision): boolean {
  return mode === "enforce" && cost > 0;
}

export function isAdmitted(answer: Answer, by: "store" | "local"): boolean {
  return answer.kind === "decided" && answer.by === by && answer.outcome === "admitted";
}

/** What the store did is not known: it may have charged, and its answer was lost. */
export function isUncertain({ answer }: Decision): boolean {
  return answer.kind === "undecided" || answer.by === "local";
}

/** One request_id is one charge, in whichever of its calls. */
function storeCharge(group: readonly Decision[], { lateMs }: Rules): ExactCharge | undefined {
  const charging = group.filter(isCharge);
  const admitted = charging.filter(({ answer }) => isAdmitted(answer, "store"));
  const may = [...admitted, ...charging.filter(isUncertain)];
  const [first] = may;
  if (first === undefined) return undefined;
  const isSure = admitted.length > 0;
  return {
    fromMs: Math.min(...may.map(({ sentMs }) => sentMs)),
    toMs: isSure
      ? Math.min(...admitted.map(({ answeredMs }) => answeredMs))
      : Math.max(...may.map(({ answeredMs }) => answeredMs)) + lateMs,
    cost: first.cost,
    isSure,
    isLocal: charging.some(({ answer }) => isAdmitted(answer, "local")),
  };
}

function toldLater(group: readonly Decision[], { toldLaterMs }: Rules): ExactCharge[] {
  return group
    .filter((decision) => isCharge(decision) && isAdmitted(decision.answer, "local"))
    .map(({ sentMs, answeredMs, cost }) => ({
      fromMs: sentMs,
      toMs: answeredMs + toldLaterMs,
      cost,
      isSure: false,
      isLocal: true,
    }));
}

function sightOf(
  decision: Decision,
  of: { limit: ExactLimit; charge: ExactCharge | undefined; group: readonly Decision[] },
): Sight | undefined {
  const { answer } = decision;
  if (answer.kind !== "decided" || answer.by !== "store") return undefined;
  const state = answer.states.find(({ limit }) => limit === of.limit.name);
  if (state === undefined) return undefined;
  return {
    decision,
    outcome: answer.outcome,
    state,
    own: answer.outcome === "admitted" && isCharge(decision) ? of.charge : undefined,
    mayRepeat: of.group.some((other) => other !== decision && other.sentMs <= decision.answeredMs),
  };
}
