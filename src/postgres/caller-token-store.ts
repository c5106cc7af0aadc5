import { and, desc, eq, sql } from "drizzle-orm";
import type { CallerTokenStore } from "../core/ports.ts";
import type { CallerTokenRecord } from "../core/records.ts";
import { type Database, preparedOnce } from "./database.ts";
import { pageOf, parseTimePosition, timePosition } from "./page.ts";
import { callerTokens } from "./schema.ts";
import { writeChange } from "./write-change.ts";

type CallerTokenRow = typeof callerTokens.$inferSelect;

export function createCallerTokenStore(database: Database): CallerTokenStore {
  return {
    async findByDigest(digest, deadline) {
      const rows = await database.run(deadline, (connection) =>
        tokenByDigest(connection).execute({ digest }),
      );
      return rows.map(tokenRecord)[0];
    },

    create: (token, { audit, deadline }) =>
      database.transaction(deadline, async (transaction) => {
        await transaction.insert(callerTokens).values({
          ...token,
          expireTimeMs: token.expireTimeMs ?? null,
          revokeTimeMs: token.revokeTimeMs ?? null,
        });
        const change = await writeChange(transaction, audit, [
          { kind: "caller_token", digest: token.digest },
        ]);
        return { record: token, change };
      }),

    async list(page, deadline) {
      const after = page.after === undefined ? undefined : parseTimePosition(page.after);
      const older =
        after &&
        sql`(${callerTokens.createTimeMs}, ${callerTokens.id}) < (${after.createTimeMs}::bigint, ${after.id})`;
      const rows = await database.run(deadline, (connection) =>
        connection
          .select()
          .from(callerTokens)
          .where(and(older))
          .orderBy(desc(callerTokens.createTimeMs), desc(callerTokens.id))
          .limit(page.size + 1),
      );
      return pageOf(rows, page, { record: tokenRecord, position: timePosition });
    },

    revoke: (id, { nowMs, audit, deadline }) =>
      database.transaction(deadline, async (transaction) => {
        const [stored] = await transaction
          .select()
          .from(callerTokens)
          .where(eq(callerTokens.id, id))
          .for("update");
        if (stored === undefined) return "missing";
        const record = tokenRecord(stored);
        if (record.revokeTimeMs !== undefined) return { record, change: 0n };
        await transaction.update(callerTokens).set({ revokeTimeMs: nowMs }).where(eq(callerTokens.id, id));
        const change = await writeChange(transaction, audit, [
          { kind: "caller_token", digest: record.digest },
        ]);
        return { record: { ...record, revokeTimeMs: nowMs }, change };
      }),
  };
}

const tokenByDigest = preparedOnce((connection) =>
  connection
    .select()
    .from(callerTokens)
    .where(eq(callerTokens.digest, sql.placeholder("digest")))
    .prepare("caller_token_by_digest"),
);

function tokenRecord(row: CallerTokenRow): CallerTokenRecord {
  return { ...row, expireTimeMs: row.expireTimeMs ?? undefined, revokeTimeMs: row.revokeTimeMs ?? undefined };
}
