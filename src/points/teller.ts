import { TollgateError } from "../core/errors.ts";
import type { BucketStore, Charge } from "../core/ports.ts";
import type { InProcessBuckets } from "./in-process-buckets.ts";
import { isUnavailable } from "./judge.ts";
import { type Fate, NoReply } from "./no-reply.ts";
import { bucketNameOf, createUntoldUses, type Use } from "./untold-uses.ts";

/** Uses told in one round: one call of the store, which keeps it from others for less than a millisecond. */
const ROUND = 100;

/** How often what is untold is looked at when nobody asks for points, and the pause after a round that failed. */
const AGAIN_MS = 250;

/** At most one report within it. */
const SILENT_MS = 1000;

/** More than the store's own budget, from when a use is sent. */
const TELL_MS = 1000;

export interface Told {
  readonly uses: number;
  /** Never told: the store may have charged them when its reply was lost, or there were too many to keep. */
  readonly lost: number;
}

/** Tells the store, once it answers again, what was charged without it. */
export interface Teller {
  /** Something charged here, to one of these buckets, is not told, or it is not known yet whether it is to be. */
  holds(charges: readonly Charge[]): boolean;
  /**
   * Charged without the store, of which `error` was the last word to this take (undefined: it was not asked).
   * What the store may have charged itself is told only where it turns out that it did not, or where the
   * request_id has it charged once anyway.
   */
  used(use: Use, error: unknown): void;
  /** Sends what is untold of these buckets: a take of this turn finds it charged. */
  tell(charges: readonly Charge[]): void;
  /** Sends all that is untold, round by round. */
  tellAll(): void;
}

/**
 * A use is charged there in mode "record", without a block, as far as it still counts here: never what a limit
 * gave back meanwhile. It is sent again only when it surely was not charged. Nothing waits for it.
 */
export function createTeller({
  store,
  local,
  now,
  mayTell,
  probe,
  onFailed,
  onTold,
}: {
  store: BucketStore;
  /** Where the uses were charged. */
  local: InProcessBuckets;
  now: () => number;
  /** Whether the last that was heard of the store was an answer. */
  mayTell: () => boolean;
  /** Asks the store about the charge; an answer calls `tellAll`. */
  probe: (charge: Charge) => void;
  onFailed: (error: unknown) => void;
  onTold: (told: Told) => void;
}): Teller {
  const untold = createUntoldUses();
  // Uses by bucket of which the store has yet to say whether it charged them.
  const unsure = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let isTelling = false;
  let pausedUntilMs = Number.NEGATIVE_INFINITY;
  let silentUntilMs = Number.NEGATIVE_INFINITY;
  let told = 0;
  let lost = 0;
  let droppedBefore = 0;

  function keep(use: Use): void {
    untold.add(use);
    watch();
  }

  /** Until there is nothing untold: also when no request comes that would find the store back. */
  function watch(): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      const { first } = untold;
      if (first === undefined) return;
      if (mayTell()) tellAll();
      else probe(first.charge);
      watch();
    }, AGAIN_MS).unref();
  }

  /** What the use still counts for: with a request_id all of it, or nothing. */
  function costNow({ charge, requestId, atMs }: Use): number {
    if (requestId !== "") return atMs + charge.limit.windowMs > now() ? charge.cost : 0;
    const spent = local.spent({ ...charge, points: Math.max(charge.points, charge.cost) });
    return Math.min(charge.cost, spent);
  }

  async function send(use: Use): Promise<"done" | "failed"> {
    const charge = { ...use.charge, cost: costNow(use) };
    if (charge.cost === 0) return "done";
    const { requestId } = use;
    const blockless = { ...charge, limit: { ...charge.limit, blockMs: 0 } };
    try {
      await store.take(
        { charges: [blockless], mode: "record", requestId, onOutage: "deny" },
        now() + TELL_MS,
      );
      told++;
      return "done";
    } catch (error) {
      onFailed(error);
      const unsent = { ...use, charge };
      if (isUnavailable(error)) void sort(unsent, error);
      else if (wasReused(error)) keep({ ...unsent, requestId: "" });
      else lost++;
      return "failed";
    }
  }

  /** By what the store did, which can be known much later. */
  async function sort(use: Use, error: unknown): Promise<void> {
    let fate: Fate = "nothing";
    if (use.requestId === "" && error instanceof TollgateError && error.cause instanceof NoReply) {
      const name = bucketNameOf(use.charge);
      unsure.set(name, (unsure.get(name) ?? 0) + 1);
      fate = await error.cause.fate;
      const others = (unsure.get(name) ?? 0) - 1;
      if (others > 0) unsure.set(name, others);
      else unsure.delete(name);
    }
    if (fate === "nothing") keep(use);
    else if (fate === "unknown") lost++;
  }

  function tellAll(): void {
    if (untold.size === 0) report();
    else if (!isTelling && now() >= pausedUntilMs) void tellRounds();
  }

  async function tellRounds(): Promise<void> {
    isTelling = true;
    while (untold.size > 0 && mayTell()) {
      const outcomes = await Promise.all(untold.removeSome(ROUND).map(send));
      if (!outcomes.includes("failed")) continue;
      pausedUntilMs = now() + AGAIN_MS;
      break;
    }
    isTelling = false;
    report();
  }

  function report(): void {
    const dropped = untold.dropped - droppedBefore;
    if (untold.size > 0 || told + lost + dropped === 0 || now() < silentUntilMs) return;
    onTold({ uses: told, lost: lost + dropped });
    silentUntilMs = now() + SILENT_MS;
    droppedBefore = untold.dropped;
    told = 0;
    lost = 0;
  }

  return {
    holds(charges) {
      if (untold.size === 0 && unsure.size === 0) return false;
      return charges.some((charge) => untold.has(charge) || unsure.has(bucketNameOf(charge)));
    },

    used(use, error) {
      void sort(use, error);
    },

    tell(charges) {
      for (const charge of charges) for (const use of untold.remove(charge)) void send(use);
    },

    tellAll,
  };
}

function wasReused(error: unknown): boolean {
  return error instanceof TollgateError && error.reason === "REQUEST_ID_REUSED";
}
