import { sql } from "drizzle-orm";
import type { Change } from "../core/ports.ts";
import type { AuditEntry } from "../core/records.ts";
import { type Connection, rowsOf } from "./database.ts";
import { durable } from "./durable.ts";
import { auditLog } from "./schema.ts";

/** The channel on which the number of each change is told. It only wakes up: what changed is in a table. */
export const changesChannel = "tollgate_changes";

/**
 * Writes the audit entry and, under one new number, what was changed. The number is taken from a row
 * that stays locked to the end of the transaction: call this last. One statement, so that the lock is
 * held for one round trip besides the commit.
 */
export async function writeChange(
  transaction: Connection,
  audit: AuditEntry,
  parts: readonly [Change, ...Change[]],
): Promise<bigint> {
  const { callerId, actorUserId, action, detail } = audit;
  const [row] = await rowsOf(
    transaction,
    sql`with counter as (
      update change_counter set number = number + 1 where id = 1 returning number
    ), audited as (
      insert into ${auditLog} (caller_id, actor_user_id, action, detail)
      values (${callerId}, ${actorUserId}, ${action}, ${JSON.stringify(detail)}::jsonb)
    ), written as (
      insert into changes (number, part, change)
      select counter.number, part.position, part.change
      from counter, jsonb_array_elements(${JSON.stringify(parts)}::jsonb) with ordinality as part (change, position)
    )
    select number::text as number, pg_notify(${changesChannel}, number::text), ${durable} as durable from counter`,
  );
  if (row === undefined) throw new Error("the change counter has no row");
  return BigInt(row["number"] as string);
}
