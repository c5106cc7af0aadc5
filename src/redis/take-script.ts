import { createHash } from "node:crypto";
import { takeLua } from "./take-lua.ts";

/** A Lua script, and the SHA-1 that EVALSHA knows it by. */
export interface Script {
  readonly source: string;
  readonly sha1: string;
}

/** The time in whole microseconds, as a Lua expression. */
export const REDIS_CLOCK =
  "(function() local time = redis.call('TIME') return time[1] * 1000000 + time[2] end)()";

/** Decides many takes in one call, on Redis's own clock. What it means is at the head of the source. */
export const takeScript: Script = assembleTakeScript(REDIS_CLOCK);

/** `clock`: a Lua expression for the time in whole microseconds; tests have a clock that they set. */
export function assembleTakeScript(clock: string): Script {
  return scriptOf(takeLua(clock));
}

export function scriptOf(source: string): Script {
  return { source, sha1: createHash("sha1").update(source).digest("hex") };
}
