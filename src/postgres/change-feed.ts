import { and, asc, eq, gt, lte, sql } from "drizzle-orm";
import type { ChangeFeed, NumberedChange, ReplicaRow } from "../core/ports.ts";
import { type Database, type Row, rowsOf } from "./database.ts";
import { durable } from "./durable.ts";
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

/** It rises when a standby takes over. A server that is one still takes no writes. */
const timeline = sql`left(pg_walfile_name(pg_current_wal_lsn()), 8)`;

export function createChangeFeed(database: Database): ChangeFeed {
  let renewals = 0;

  return {
    async renew(replica, deadline) {
      // One statement is one transaction: what it reads is as of its start, after the call began. The counter is
      // locked to the commit: a change that takes its number later finds this row renewed. Whatever the
      // database's default, the row is on disk before it counts. Nobody has applied what is not there: such a number
      // is of a database that was lost.
      const [row] = await database.run(deadline, (connection) =>
        rowsOf(
          connection,
          sql`with counter as materialized (
            select number from change_counter where id = 1 for share
          ), renewed as (
            insert into replicas (id, applied, lease_ms, policies, version, renew_time)
            select
              ${replica.id}, least(${replica.applied.toString()}::bigint, counter.number), ${replica.leaseMs}::integer,
              ${JSON.stringify(replica.policies)}::jsonb, ${replica.version}, now()
            from counter
            on conflict (id) do update
            set applied = excluded.applied, lease_ms = excluded.lease_ms, policies = excluded.policies,
              version = excluded.version, renew_time = excluded.renew_time
            returning xmax = 0 as is_new
          )
          select counter.number::text as highest, renewed.is_new, ${timeline} as timeline, ${durable} as durable, (
            select count(*)::integer from replicas
            where id <> ${replica.id} and renew_time > now() - make_interval(secs => ${liveSeconds})
          ) as others
          from counter, renewed`,
        ),
      );
      if (row === undefined) throw new Error("the change counter has no row");
      if (renewals++ % renewalsBetweenPruning === 0) await prune(database, deadline);
      return {
        highest: BigInt(row["highest"] as string),
        liveReplicas: Number(row["others"]) + 1,
        isNew: row["is_new"] === true,
        timeline: row["timeline"] as string,
      };
    },

    async acknowledge({ id, applied }, deadline) {
      // Lost in a crash, it only makes somebody wait longer: the disk need not be waited for.
      await database.run(deadline, (connection) =>
        connection.execute(sql`with lazily as materialized (select set_config('synchronous_commit', 'off', true))
          update replicas set applied = least(${applied.toString()}::bigint, counter.number)
          from lazily, change_counter as counter
          where counter.id = 1 and replicas.id = ${id} and applied < least(${applied.toString()}::bigint, counter.number)`),
      );
    },

    async replicas(deadline) {
      const rows = await database.run(deadline, (connection) =>
        rowsOf(
          connection,
          sql`select counter.number::text as highest, replicas.id, replicas.applied::text as applied,
            replicas.lease_ms, replicas.policies::text as policies, replicas.version, replicas.xmin::text as renewal,
            extract(epoch from clock_timestamp() - replicas.start_time) * 1000 as started_ms_ago,
            extract(epoch from clock_timestamp() - replicas.renew_time) * 1000 as renewed_ms_ago
          from change_counter as counter left join replicas on true where counter.id = 1 order by replicas.id`,
        ),
      );
      const [first] = rows;
      if (first === undefined) throw new Error("the change counter has no row");
      return {
        highest: BigInt(first["highest"] as string),
        replicas: rows.filter((row) => row["id"] !== null).map(replicaRow),
      };
    },

    async retire({ id, renewal }, deadline) {
      await database.run(deadline, (connection) =>
        connection.execute(sql`delete from replicas where id = ${id} and xmin::text = ${renewal}`),
      );
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

function replicaRow(row: Row): ReplicaRow {
  return {
    id: row["id"] as string,
    applied: BigInt(row["applied"] as string),
    leaseMs: Number(row["lease_ms"]),
    policies: JSON.parse(row["policies"] as string) as ReplicaRow["policies"],
    version: row["version"] as string,
    renewal: row["renewal"] as string,
    startedMsAgo: Math.max(0, Math.round(Number(row["started_ms_ago"]))),
    renewedMsAgo: Math.max(0, Math.round(Number(row["renewed_ms_ago"]))),
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
