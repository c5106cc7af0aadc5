import type { CallerTokens } from "../core/caller-tokens.ts";
import type { Caller } from "../core/callers.ts";
import type { Directory } from "../core/directory.ts";
import { TollgateError } from "../core/errors.ts";
import type { Keys } from "../core/keys.ts";
import type { Deadline } from "../core/ports.ts";
import type { Acknowledgements } from "./acknowledgements.ts";

export interface Writes {
  readonly keys: Keys;
  readonly directory: Directory;
  readonly callerTokens: CallerTokens;
}

/**
 * The same writes, each of which answers once no replica uses anything older: all that may take something away. Also
 * one that finds it done already: the call that did it may have died while it waited. What is made anew
 * takes nothing from anybody, and is not waited for.
 */
export function withAcknowledgements(
  { keys, directory, callerTokens }: Writes,
  { everywhere }: Acknowledgements,
): Writes {
  function waiting<Input, Result>(
    write: (input: Input, caller: Caller, deadline: Deadline) => Promise<Result>,
  ): typeof write {
    return async (input, caller, deadline) => {
      const [outcome] = await Promise.allSettled([write(input, caller, deadline)]);
      if (outcome.status === "fulfilled" || isDoneAlready(outcome.reason)) await everywhere(deadline);
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    };
  }

  return {
    keys: {
      ...keys,
      revoke: waiting(keys.revoke),
      revokeAll: waiting(keys.revokeAll),
      update: waiting(keys.update),
      rotate: waiting(keys.rotate),
    },
    directory: {
      ...directory,
      putWorkspace: waiting(directory.putWorkspace),
      deleteWorkspace: waiting(directory.deleteWorkspace),
      putMember: waiting(directory.putMember),
      removeMember: waiting(directory.removeMember),
    },
    callerTokens: { ...callerTokens, revoke: waiting(callerTokens.revoke) },
  };
}

/** A repeat of a rotation, a member removed by a later message: its cause is stored, by a call that may have died. */
function isDoneAlready(error: unknown): boolean {
  return error instanceof TollgateError && ["already_exists", "failed_precondition"].includes(error.code);
}
