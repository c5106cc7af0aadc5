import { storeUnavailable, type TollgateError } from "../core/errors.ts";
import type { Deadline, TakeAnswer, TakeRequest } from "../core/ports.ts";
import { type Fate, NoReply } from "../points/no-reply.ts";
import { NotSent } from "../points/not-sent.ts";
import { requestIdReused } from "../points/take-decision.ts";
import { UnreadableBucket } from "../points/unreadable-bucket.ts";
import type { TakeVerdict } from "./take-codec.ts";

/** One for all: who takes back a thousand requests is not to cost a thousand errors, of which nobody reads any. */
const NOBODY_WAITS = storeUnavailable("redis", new NotSent());
const TOO_LATE = "the take reached Redis too late";

/** One take on its way to Redis and back. */
export class PendingTake {
  readonly request: TakeRequest;
  readonly answer: Promise<TakeAnswer>;
  /** The caller's; once it is sent, the budget's where that is sooner. */
  deadline: Deadline;
  /** It has no answer yet. */
  isOpen = true;
  readonly #callerDeadline: Deadline;
  /** Redis's time for it has begun. */
  #wasSent = false;
  /** In a call that has no reply yet. */
  #isUnderWay = false;
  #wasProlonged = false;
  /** Sent, and answered that it came too late: nothing was charged. */
  #wasLate = false;
  #resolve!: (answer: TakeAnswer) => void;
  #reject!: (error: TollgateError) => void;
  /** Of one that failed while it was under way. */
  #tellFate: ((fate: Fate) => void) | undefined;

  constructor(request: TakeRequest, deadline: Deadline) {
    this.request = request;
    this.deadline = deadline;
    this.#callerDeadline = deadline;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Fails it where nobody waits for it any more, or its time is up. Answers whether it is to be sent. */
  isStillToSend(nowMs: number): boolean {
    if (!this.#wasSent && this.request.waiter?.isAborted === true) this.refuse(NOBODY_WAITS);
    if (this.deadline <= nowMs) this.giveUp();
    return this.isOpen;
  }

  /** It goes to Redis now, which has until then for it. */
  send(untilMs: number): void {
    this.#wasSent = true;
    this.#isUnderWay = true;
    this.deadline = Math.min(this.deadline, untilMs);
  }

  /** Its time is up. */
  giveUp(): void {
    if (!this.isOpen) return;
    if (!this.#wasSent) this.#fail(new NotSent());
    else if (!this.#isUnderWay) this.#fail(new Error(TOO_LATE));
    else {
      const fate = new Promise<Fate>((resolve) => {
        this.#tellFate = resolve;
      });
      this.#fail(new NoReply("no reply in time", fate));
    }
  }

  /** What came before now was not Redis's time. Once: a process that is always late would never give it up. */
  prolong(untilMs: number): void {
    if (this.#wasProlonged || untilMs <= this.deadline) return;
    this.#wasProlonged = true;
    this.deadline = Math.min(this.#callerDeadline, untilMs);
  }

  /** Its call was answered. "again": it came too late, did nothing, and is to be sent once more. */
  settle(
    verdict: TakeVerdict | undefined,
    { clockWasKnown }: { clockWasKnown: boolean },
  ): "settled" | "again" {
    this.#land(typeof verdict === "object" && verdict.outcome === "admitted" ? "charged" : "nothing");
    if (!this.isOpen) return "settled";
    if (verdict === "late" && !this.#wasLate) {
      this.#wasLate = true;
      if (!clockWasKnown) {
        // This call could do no more than ask what time it is: Redis's time for the take is yet to begin.
        this.#wasSent = false;
        this.deadline = this.#callerDeadline;
      }
      return "again";
    }
    if (verdict === "late" || verdict === undefined) this.#fail(new Error(TOO_LATE));
    else if (verdict === "unreadable") this.#fail(new UnreadableBucket());
    else if (verdict === "reused") this.refuse(requestIdReused());
    else {
      this.isOpen = false;
      this.#resolve(verdict);
    }
    return "settled";
  }

  /** Its call has failed. */
  lose(fate: Fate, error: TollgateError): void {
    this.#land(fate);
    this.refuse(error);
  }

  refuse(error: TollgateError): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#reject(error);
  }

  #land(fate: Fate): void {
    this.#isUnderWay = false;
    this.#tellFate?.(fate);
  }

  #fail(cause: Error): void {
    this.refuse(storeUnavailable("redis", cause));
  }
}
