import { giveBackLua } from "./give-back-lua.ts";
import { REDIS_CLOCK, type Script, scriptOf } from "./take-script.ts";

/** Gives points back, on Redis's own clock. What it means is at the head of the source. */
export const giveBackScript: Script = assembleGiveBackScript(REDIS_CLOCK);

/** `clock`: as of the take script. */
export function assembleGiveBackScript(clock: string): Script {
  return scriptOf(giveBackLua(clock));
}
