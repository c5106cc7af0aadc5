import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import postgres from "postgres";
import { storeUnavailable } from "../core/errors.ts";
import { settledBy } from "../core/settled-by.ts";
import { changesChannel } from "./write-change.ts";

export interface ChangeListenerOptions {
  /** The number of a change that is committed, as are those below it. */
  readonly onChange: (change: bigint) => void;
  /** It hears from now on: what came before may have been missed. */
  readonly onHearing: () => void;
  /** It does not hear any more, or not yet; it tries again. Never holds the password. */
  readonly onDeaf: (error: Error) => void;
  /** How often it sends something to itself. Default 5000. */
  readonly testEveryMs?: number;
  /** How long anything may take. Default 2000. */
  readonly answerMs?: number;
}

export interface ChangeListener {
  readonly hears: boolean;
  close(): Promise<void>;
}

/** Before the next attempt, a part of it at random, so that replicas do not come all at once. */
const AGAIN_MS = 1000;

/**
 * Hears of changes as they are committed, on a connection of its own, which it opens again for ever. Only to be
 * quick: who reads the feed misses nothing by what is not heard. A pooler that gives each transaction another
 * connection lets nothing be heard: its own messages to itself tell.
 */
export function listenToChanges(url: string, options: ChangeListenerOptions): ChangeListener {
  const { onChange, onHearing, onDeaf, testEveryMs = 5000, answerMs = 2000 } = options;
  const closing = new AbortController();
  let hears = false;

  async function keepListening(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await listen();
      } catch (error) {
        hears = false;
        if (!closing.signal.aborted) onDeaf(error as Error);
      }
      await pause(AGAIN_MS * (0.5 + Math.random() / 2), closing.signal);
    }
  }

  /** Until it hears no more, and then throws. */
  async function listen(): Promise<void> {
    const echoChannel = `tollgate_echo_${randomBytes(8).toString("hex")}`;
    const lost = new AbortController();
    let onEcho = (): void => {};
    const client = postgres(url, {
      max: 1,
      fetch_types: false,
      max_lifetime: null,
      connect_timeout: Math.ceil(answerMs / 1000),
      backoff: false,
      connection: { application_name: "tollgate changes" },
      onnotice: () => {},
      onclose: () => lost.abort(),
      onnotify(channel: string, payload: string) {
        if (channel === echoChannel) onEcho();
        else if (/^\d{1,19}$/.test(payload)) onChange(BigInt(payload));
      },
    } as postgres.Options<Record<string, never>>);
    const signal = AbortSignal.any([lost.signal, closing.signal]);
    // One for the connection's life, which may be months: what each wait would add to the signal would stay there.
    let giveUp = (): void => {};
    signal.addEventListener("abort", () => giveUp(), { once: true });
    const within = (work: Promise<unknown>): Promise<unknown> => {
      const ended = new Promise<never>((_, reject) => {
        giveUp = () => reject(new Error("the connection ended"));
        if (signal.aborted) giveUp();
      });
      return settledBy(Promise.race([work, ended]), {
        deadline: performance.now() + answerMs,
        missed: () => storeUnavailable("postgres", new Error("nothing was heard in time")),
      });
    };
    try {
      await within(client.unsafe(`listen ${changesChannel}; listen ${echoChannel}`));
      while (!signal.aborted) {
        const echo = new Promise<void>((resolve) => {
          onEcho = resolve;
        });
        await within(client.unsafe(`notify ${echoChannel}`));
        await within(echo);
        if (!hears) {
          hears = true;
          onHearing();
        }
        await pause(testEveryMs, signal);
      }
      throw new Error("the connection ended");
    } finally {
      await client.end({ timeout: 0 });
    }
  }

  const listening = keepListening();
  return {
    get hears() {
      return hears;
    },
    async close() {
      closing.abort();
      await listening;
    },
  };
}

/** That long, or until the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal, ref: false });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
