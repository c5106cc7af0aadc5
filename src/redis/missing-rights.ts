import { createHash } from "node:crypto";
import type { Redis } from "ioredis";

/**
 * Tries each command that our scripts call, in a way that changes nothing, on a key that there never is.
 * Answers those that the user may not run. Access is judged before all else, also before a cluster's node
 * says that the key is another one's: so no key is declared, and any node can be asked.
 * The words are those of Redis 6.2 and 7.0, and of later ones and Valkey.
 */
const PROBE = `
local key, refused = 'tg:{0}:rights', {}
for _, command in ipairs({
  {'TIME'}, {'MGET', key}, {'EXISTS', key}, {'SET', key, '', 'XX'}, {'SETRANGE', key, 0, ''}, {'DEL', key}
}) do
  local answer = redis.pcall(unpack(command))
  local problem = type(answer) == 'table' and answer.err or ''
  if string.find(problem, 'user executing the script') or string.find(problem, 'ACL failure') then
    refused[#refused + 1] = command[1]
  end
end
return refused
`;

const PROBE_SHA1 = createHash("sha1").update(PROBE).digest("hex");

/**
 * The commands that Tollgate needs and the connection's user may not run, on keys `tg:*`. Throws what the
 * driver throws.
 */
export async function missingRights(
  redis: Redis,
  server: "alone" | "of a cluster",
): Promise<readonly string[]> {
  // At once: so these are over before a take is sent behind them.
  const called: [command: string, reply: Promise<unknown>][] = [
    ["SCRIPT LOAD", redis.script("LOAD", PROBE)],
    ["EVALSHA", redis.evalsha(PROBE_SHA1, 0)],
    ["EVAL", redis.eval(PROBE, 0)],
  ];
  if (server === "of a cluster") {
    called.push(
      ["CLUSTER SLOTS", redis.cluster("SLOTS")],
      ["CLUSTER INFO", redis.cluster("INFO")],
      // For slots that are being moved. It changes what the next command of this connection may see, for nobody.
      ["ASKING", redis.call("ASKING")],
    );
  }
  const outcomes = await Promise.allSettled(called.map(([, reply]) => reply));
  const missing = called.flatMap(([command], index) => (isRefused(outcomes[index]) ? [command] : []));
  const probed = outcomes[2];
  if (probed?.status === "fulfilled") return [...missing, ...(probed.value as string[])];
  if (missing.length === 0) throw probed?.reason;
  return missing;
}

function isRefused(outcome: PromiseSettledResult<unknown> | undefined): boolean {
  return outcome?.status === "rejected" && String(outcome.reason?.message).startsWith("NOPERM");
}
