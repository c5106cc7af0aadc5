import type { Caller } from "./callers.ts";
import { TollgateError } from "./errors.ts";
import type { Keys } from "./keys.ts";
import type { Deadline } from "./ports.ts";

/** What a secret scanner says that it has found. All of it but the token is text that nobody vouches for. */
export interface Leak {
  readonly token: string;
  /** Where it stands. */
  readonly url: string;
  /** What kind of place that is: "content", "commit" and the like. */
  readonly source: string;
}

/** "true_positive": it is a key's secret, which is revoked now. */
export type LeakLabel = "true_positive" | "false_positive";

export interface LeakReports {
  /** Revokes what is a key's. Answers one label a leak, in their order. Safe to repeat, also after it has thrown. */
  report(leaks: readonly Leak[], deadline: Deadline): Promise<readonly LeakLabel[]>;
}

/** The report is signed, and whoever holds a secret may end it: no caller token stands behind it. */
const SCANNER: Caller = { id: "leak-report", grants: new Set(["admin"]), apis: new Set() };

const MAX_PLACE_CHARACTERS = 300;

export function createLeakReports({
  keys,
  onLeak,
}: {
  keys: Pick<Keys, "revoke">;
  onLeak: (label: LeakLabel) => void;
}): LeakReports {
  async function revoke(leak: Leak, reason: string, deadline: Deadline): Promise<LeakLabel> {
    try {
      await keys.revoke({ target: { key: leak.token }, reason, actorUserId: "" }, SCANNER, deadline);
      return "true_positive";
    } catch (error) {
      if (error instanceof TollgateError && error.code === "not_found") return "false_positive";
      throw error;
    }
  }

  return {
    async report(leaks, deadline) {
      const tokens = leaks.map(({ token }) => token);
      const labels = new Map<string, Promise<LeakLabel>>();
      for (const leak of leaks) {
        if (labels.has(leak.token)) continue;
        labels.set(leak.token, revoke(leak, reasonOf(leak, tokens), deadline));
      }
      const answers = await Promise.all(tokens.map((token) => labels.get(token) as Promise<LeakLabel>));
      for (const label of answers) onLeak(label);
      return answers;
    },
  };
}

/** For people, who will look where the key was found. */
function reasonOf({ source, url }: Leak, tokens: readonly string[]): string {
  const kind = /^[\w.-]{1,64}$/.test(source) && !holdsAny(source, tokens) ? source : "unknown source";
  const place = placeOf(url, tokens);
  return place === "" ? `leaked: ${kind}` : `leaked: ${kind}, ${place}`;
}

/** The address without what may hold secrets: user, query and fragment. Empty where a token stands in it all the same. */
function placeOf(url: string, tokens: readonly string[]): string {
  if (!URL.canParse(url)) return "";
  const { protocol, host, pathname } = new URL(url);
  if (protocol !== "https:" && protocol !== "http:") return "";
  const place = `${protocol}//${host}${pathname}`;
  if (holdsAny(url, tokens) || holdsAny(place, tokens)) return "";
  return place.slice(0, MAX_PLACE_CHARACTERS);
}

/** In any case of letters: host names lose theirs. */
function holdsAny(text: string, tokens: readonly string[]): boolean {
  const lower = text.toLowerCase();
  return tokens.some((token) => lower.includes(token.toLowerCase()));
}
