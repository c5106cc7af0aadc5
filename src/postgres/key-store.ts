import { and, desc, eq, gt, inArray, isNotNull, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type {
  Change,
  Deadline,
  KeyFilter,
  KeyStatus,
  KeyStore,
  KeyUse,
  RequestClaim,
} from "../core/ports.ts";
import type { KeyRecord } from "../core/records.ts";
import { type Connection, type Database, preparedOnce, rowsOf } from "./database.ts";
import { keyColumns, keyRecord, keyRow } from "./key-record.ts";
import { createLookUps } from "./look-ups.ts";
import { pageOf, parseTimePosition, timePosition } from "./page.ts";
import { keys, requestClaims, workspaces } from "./schema.ts";
import { writeChange } from "./write-change.ts";

export function createKeyStore(database: Database): KeyStore {
  return {
    findByDigest: createLookUps((digests, deadline) => findByDigests(database, { digests, deadline })),

    async get(id, deadline) {
      const rows = await database.run(deadline, (connection) => keyById(connection).execute({ id }));
      return rows.map(keyRecord)[0];
    },

    async list(filter, page, deadline) {
      const after = page.after === undefined ? undefined : parseTimePosition(page.after);
      const older =
        after && sql`(${keys.createTimeMs}, ${keys.id}) < (${after.createTimeMs}::bigint, ${after.id})`;
      const rows = await database.run(deadline, (connection) =>
        connection
          .select()
          .from(keys)
          .where(and(...conditions(filter), older))
          .orderBy(desc(keys.createTimeMs), desc(keys.id))
          .limit(page.size + 1),
      );
      return pageOf(rows, page, { record: keyRecord, position: timePosition });
    },

    claimedBy: (claim, deadline) => database.run(deadline, (connection) => findClaim(connection, claim)),

    create: (key, { madeIn, claim, audit, deadline }) =>
      database.transaction(deadline, async (transaction) => {
        if (madeIn !== undefined && !(await holdWorkspace(transaction, madeIn))) return "no_workspace";
        const usedBy = claim && (await takeClaim(transaction, claim, key.id));
        if (usedBy !== undefined) return { usedBy };
        await transaction.insert(keys).values(keyRow(key));
        return { record: key, change: await writeChange(transaction, audit, [keyChange([key])]) };
      }),

    update: (id, { revision, patch, claim, audit, deadline }) =>
      database.transaction(deadline, async (transaction) => {
        const [stored] = await transaction.select().from(keys).where(eq(keys.id, id)).for("update");
        // Before the revision is looked at: the call whose repeat this is has raised it.
        const usedBy = claim && (await findClaim(transaction, claim));
        if (usedBy !== undefined) return { usedBy };
        if (stored === undefined) return "missing";
        if (stored.revision !== revision) return "conflict";
        if (claim !== undefined) {
          const takenMeanwhile = await takeClaim(transaction, claim, id);
          if (takenMeanwhile !== undefined) return { usedBy: takenMeanwhile };
        }
        const before = keyRecord(stored);
        const after: KeyRecord = { ...before, ...patch, revision: revision + 1 };
        await transaction
          .update(keys)
          .set({ ...keyColumns(patch), revision: after.revision })
          .where(eq(keys.id, id));
        return { record: after, change: await writeChange(transaction, audit, [keyChange([before, after])]) };
      }),

    listUnrevoked: ({ api, workspaceId, createdBy }, limit, deadline) =>
      database.run(deadline, (connection) =>
        connection
          .select({ id: keys.id, workspaceId: keys.workspaceId })
          .from(keys)
          .where(
            and(
              eq(keys.api, api),
              workspaceId === "" ? undefined : eq(keys.workspaceId, workspaceId),
              createdBy === "" ? undefined : eq(keys.createdBy, createdBy),
              isNull(keys.revokeTimeMs),
            ),
          )
          .orderBy(desc(keys.createTimeMs), desc(keys.id))
          .limit(limit),
      ),

    async revokeAll(ids, { nowMs, reason, auditOf, deadline }) {
      if (ids.length === 0) return { record: [], change: 0n };
      return database.transaction(deadline, async (transaction) => {
        const revoked = await revokeKeys(transaction, ids, { nowMs, reason });
        const [first, ...others] = revoked.map((key) => keyChange([key]));
        if (first === undefined) return { record: [], change: 0n };
        const record = revoked.map(({ id }) => id);
        return { record, change: await writeChange(transaction, auditOf(record), [first, ...others]) };
      });
    },

    async recordUses(uses, deadline) {
      if (uses.length === 0) return;
      await database.transaction(deadline, (transaction) => raiseUseTimes(transaction, uses));
    },
  };
}

type KeyDigests = Pick<KeyRecord, "id" | "digest" | "previousDigest">;

/** The change that drops a key from caches, under every digest that it had or has. */
export function keyChange(versions: readonly [KeyDigests, ...KeyDigests[]]): Change {
  const digests = versions.flatMap(({ digest, previousDigest }) => [digest, previousDigest]);
  return {
    kind: "key",
    keyId: versions[0].id,
    digests: [...new Set(digests)].filter((digest) => digest !== ""),
  };
}

const keyByDigest = preparedOnce((connection) =>
  connection
    .select()
    .from(keys)
    .where(or(eq(keys.digest, sql.placeholder("digest")), eq(keys.previousDigest, sql.placeholder("digest"))))
    .limit(1)
    .prepare("key_by_digest"),
);

const keysByDigests = preparedOnce((connection) =>
  connection
    .select()
    .from(keys)
    .where(
      or(
        sql`${keys.digest} = any(array(select jsonb_array_elements_text(${sql.placeholder("digests")}::jsonb)))`,
        sql`${keys.previousDigest} = any(array(select jsonb_array_elements_text(${sql.placeholder("digests")}::jsonb)))`,
      ),
    )
    .prepare("keys_by_digests"),
);

/** By each digest, also those that were not asked for. */
async function findByDigests(
  database: Database,
  { digests, deadline }: { digests: readonly string[]; deadline: Deadline },
): Promise<ReadonlyMap<string, KeyRecord>> {
  const [first = "", ...others] = digests;
  const rows = await database.run(deadline, (connection) =>
    others.length === 0
      ? keyByDigest(connection).execute({ digest: first })
      : keysByDigests(connection).execute({ digests: JSON.stringify(digests) }),
  );
  const records = rows.map(keyRecord);
  return new Map(
    records.flatMap((record) => [[record.digest, record] as const, [record.previousDigest, record] as const]),
  );
}

const keyById = preparedOnce((connection) =>
  connection
    .select()
    .from(keys)
    .where(eq(keys.id, sql.placeholder("id")))
    .prepare("key_by_id"),
);

function conditions({ apis, workspaceId, createdBy, status, nowMs }: KeyFilter): (SQL | undefined)[] {
  return [
    apis.length === 0 ? undefined : inArray(keys.api, [...apis]),
    workspaceId === "" ? undefined : eq(keys.workspaceId, workspaceId),
    createdBy === "" ? undefined : eq(keys.createdBy, createdBy),
    status === undefined ? undefined : hasStatus(status, nowMs),
  ];
}

/** As `keyStatus` of core/keys.ts tells it. */
function hasStatus(status: KeyStatus, nowMs: number): SQL | undefined {
  if (status === "revoked") return isNotNull(keys.revokeTimeMs);
  if (status === "expired") return and(isNull(keys.revokeTimeMs), lte(keys.expireTimeMs, nowMs));
  return and(
    isNull(keys.revokeTimeMs),
    or(isNull(keys.expireTimeMs), gt(keys.expireTimeMs, nowMs)),
    eq(keys.disabled, status === "disabled"),
  );
}

/** Keeps the workspace from being deleted before the transaction ends; false: there is none. */
async function holdWorkspace(
  transaction: Connection,
  { directory, workspaceId }: { directory: string; workspaceId: string },
): Promise<boolean> {
  const held = await transaction
    .select({ id: workspaces.id })
    .from(workspaces)
    .where(and(eq(workspaces.directory, directory), eq(workspaces.id, workspaceId)))
    .for("key share");
  return held.length > 0;
}

/** Waits for a transaction that takes the same claim. Answers the id of the key that has it already. */
async function takeClaim(
  transaction: Connection,
  claim: RequestClaim,
  keyId: string,
): Promise<string | undefined> {
  const taken = await transaction
    .insert(requestClaims)
    .values({ ...claim, keyId })
    .onConflictDoNothing()
    .returning({ keyId: requestClaims.keyId });
  return taken.length > 0 ? undefined : await findClaim(transaction, claim);
}

async function findClaim(transaction: Connection, claim: RequestClaim): Promise<string | undefined> {
  const [found] = await transaction
    .select({ keyId: requestClaims.keyId })
    .from(requestClaims)
    .where(
      and(
        eq(requestClaims.callerId, claim.callerId),
        eq(requestClaims.operation, claim.operation),
        eq(requestClaims.requestId, claim.requestId),
      ),
    );
  return found?.keyId;
}

/** Answers those that were not revoked yet, in the order of their ids, in which they are locked as well. */
async function revokeKeys(
  transaction: Connection,
  ids: readonly string[],
  { nowMs, reason }: { nowMs: number; reason: string },
): Promise<KeyDigests[]> {
  const rows = await rowsOf(
    transaction,
    sql`with locked as (
      select id from keys
      where id in (select jsonb_array_elements_text(${JSON.stringify(ids)}::jsonb)) and revoke_time_ms is null
      order by id for no key update
    ), revoked as (
      update keys set revoke_time_ms = ${nowMs}::bigint, revoke_reason = ${reason}, revision = revision + 1
      from locked where keys.id = locked.id
      returning keys.id, keys.digest, keys.previous_digest
    )
    select id, digest, coalesce(previous_digest, '') as previous_digest from revoked order by id`,
  );
  return rows.map((row) => ({
    id: row["id"] as string,
    digest: row["digest"] as string,
    previousDigest: row["previous_digest"] as string,
  }));
}

/**
 * Rows are locked in the order of their ids first, so that the batches of two replicas cannot deadlock.
 */
async function raiseUseTimes(transaction: Connection, uses: readonly KeyUse[]): Promise<void> {
  await transaction.execute(sql`
    with used as (
      select "keyId" as id,
        max("timeMs") filter (where secret = 'current') as current_ms,
        max("timeMs") filter (where secret = 'previous') as previous_ms
      from jsonb_to_recordset(${JSON.stringify(uses)}::jsonb) as use ("keyId" text, secret text, "timeMs" bigint)
      group by "keyId"
    ), locked as (
      select keys.id from keys join used on used.id = keys.id order by keys.id for no key update of keys
    )
    update keys set
      last_use_time_ms = greatest(keys.last_use_time_ms, used.current_ms),
      previous_last_use_time_ms = greatest(keys.previous_last_use_time_ms, used.previous_ms)
    from used join locked on locked.id = used.id
    where keys.id = used.id`);
}
