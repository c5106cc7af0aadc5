import { and, asc, eq, gt, lte, sql } from "drizzle-orm";
import type { ChangeFeed, NumberedChange } from "../core/ports.ts";
import { type Database, rowsOf } from "./database.ts";
import { changes, replicas } from "./schema.ts";

/** A replica whose cache is further behind finds a gap, and begins anew. */
const keptMinutes = 10;
/** Rows of replicas that were killed. Far longer than any lease. */
const replicaKeptMinutes = 10;
const liveSeconds = 10;
/** At about three renewals a second: every 30 seconds, of each replica. */
const renewalsBetweenPruning = 100;
/** So that pruning takes milliseconds, also after a flood: it runs within a renewal. */
const prunedRows = 5000;

export function createChangeFeed(database: Database): ChangeFeed {
  let renewals = 0;

  return {
    async renew({ id, applied, policies }, deadline) {
      // One statement is one transaction: what it reads is as of its start, after the call began.
      const [row] = await database.run(deadline, (connection) =>
        rowsOf(
          connection,
          sql`with renewed as (
            insert into replicas (id, applied, policies, renew_time)
            values (${id}, ${applied.toString()}::bigint, ${JSON.stringify(policies)}::jsonb, now())
            on conflict (id) do update
            set applied = excluded.applied, policies = excluded.policies, renew_time = excluded.renew_time
          )
          select number::text as highest, (
            select count(*)::integer from replicas
            where id <> ${id} and renew_time > now() - make_interval(secs => ${liveSeconds})
          ) as others
          from change_counter`,
        ),
      );
      if (row === undefined) throw new Error("the change counter has no row");
      if (renewals++ % renewalsBetweenPruning === 0) await prune(database, deadline);
      return { highest: BigInt(row["highest"] as string), liveReplicas: Number(row["others"]) + 1 };
    },

    async read(after, upTo, deadline) {
      const rows: readonly NumberedChange[] = await database.run(deadline, (connection) =>
        connection
          .select({ number: changes.number, change: changes.change })
          .from(changes)
          .where(and(gt(changes.number, after), lte(changes.number, upTo)))
          .orderBy(asc(changes.number), asc(changes.part)),
      );
      const numbers = new Set(rows.map(({ number }) => number));
      return BigInt(numbers.size) === (upTo > after ? upTo - after : 0n) ? rows : "gap";
    },

    async leave(replicaId, deadline) {
      await database.run(deadline, (connection) =>
        connection.delete(replicas).where(eq(replicas.id, replicaId)),
      );
    },
  };
}

/** Whole numbers only: one of which a part is missing would not show as a gap. */
async function prune(database: Database, deadline: number): Promise<void> {
  await database.run(deadline, async (connection) => {
    await connection.execute(
      sql`delete from changes where number <= (
        select max(number) from (
          select number from changes where time < now() - make_interval(mins => ${keptMinutes})
          order by number limit ${prunedRows}
        ) as old
      )`,
    );
    await connection.execute(
      sql`delete from replicas where renew_time < now() - make_interval(mins => ${replicaKeptMinutes})`,
    );
  });
}
