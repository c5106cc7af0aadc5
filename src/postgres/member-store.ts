import { and, asc, eq, gt, type SQL, sql } from "drizzle-orm";
import type { DirectoryStore } from "../core/ports.ts";
import type { MemberRecord } from "../core/records.ts";
import { type Connection, type Database, preparedOnce } from "./database.ts";
import { pageOf } from "./page.ts";
import { members, workspaces } from "./schema.ts";
import { isSameText } from "./text-lists.ts";
import { writeChange } from "./write-change.ts";

type MemberStore = Pick<DirectoryStore, "getMember" | "listMembers" | "putMember" | "removeMember">;
type MemberRow = typeof members.$inferSelect;

interface MemberId {
  readonly directory: string;
  readonly workspaceId: string;
  readonly userId: string;
}

export function createMemberStore(database: Database): MemberStore {
  return {
    async getMember(directory, workspaceId, userId, deadline) {
      const [row] = await database.run(deadline, (connection) =>
        memberById(connection).execute({ directory, workspaceId, userId }),
      );
      return row === undefined || row.removed ? undefined : memberRecord(row);
    },

    async listMembers(directory, workspaceId, page, deadline) {
      const after = page.after === undefined ? undefined : gt(members.userId, page.after);
      const rows = await database.run(deadline, (connection) =>
        connection
          .select()
          .from(members)
          .where(
            and(
              eq(members.directory, directory),
              eq(members.workspaceId, workspaceId),
              eq(members.removed, false),
              after,
            ),
          )
          .orderBy(asc(members.userId))
          .limit(page.size + 1),
      );
      return pageOf(rows, page, { record: memberRecord, position: ({ userId }) => userId });
    },

    putMember: (id, { sourceVersion, next, audit, deadline }) =>
      database.transaction(deadline, async (transaction) => {
        if (!(await keepWorkspace(transaction, id))) return "no_workspace";
        for (;;) {
          const row = await lockMember(transaction, id);
          if (row !== undefined && sourceVersion > 0n && sourceVersion < row.sourceVersion) return "stale";
          const stored = row === undefined || row.removed ? undefined : memberRecord(row);
          const { role, allLocations, locationIds } = next(stored);
          const record: MemberRecord = {
            ...id,
            role,
            allLocations,
            locationIds,
            sourceVersion: sourceVersion > 0n ? sourceVersion : (row?.sourceVersion ?? 0n),
            revision: (row?.revision ?? 0) + 1,
          };
          if (stored !== undefined && isSameMember(stored, record)) return { record: stored, change: 0n };
          if (!(await storeMember(transaction, { ...record, removed: false }, row))) continue;
          return { record, change: await writeChange(transaction, audit, [{ kind: "member", ...id }]) };
        }
      }),

    removeMember: (id, { sourceVersion, audit, deadline }) =>
      database.transaction(deadline, async (transaction) => {
        for (;;) {
          const row = await lockMember(transaction, id);
          if (row !== undefined && sourceVersion > 0n && sourceVersion < row.sourceVersion) return "stale";
          const wasThere = row !== undefined && !row.removed;
          const version = sourceVersion > 0n ? sourceVersion : (row?.sourceVersion ?? 0n);
          if (version === 0n) {
            if (!wasThere) return { record: false, change: 0n };
            await transaction.delete(members).where(isMember(id));
          } else if (wasThere || row?.sourceVersion !== version) {
            const revision = (row?.revision ?? 0) + 1;
            if (!(await storeMember(transaction, removedRow(id, version, revision), row))) continue;
          }
          if (!wasThere) return { record: false, change: 0n };
          return { record: true, change: await writeChange(transaction, audit, [{ kind: "member", ...id }]) };
        }
      }),
  };
}

const memberById = preparedOnce((connection) =>
  connection
    .select()
    .from(members)
    .where(
      and(
        eq(members.directory, sql.placeholder("directory")),
        eq(members.workspaceId, sql.placeholder("workspaceId")),
        eq(members.userId, sql.placeholder("userId")),
      ),
    )
    .prepare("member_by_id"),
);

function isMember({ directory, workspaceId, userId }: MemberId): SQL | undefined {
  return and(
    eq(members.directory, directory),
    eq(members.workspaceId, workspaceId),
    eq(members.userId, userId),
  );
}

function memberRecord({ removed: _, ...record }: MemberRow): MemberRecord {
  return record;
}

/** Nothing of the member is kept but that he went, and when. */
function removedRow(id: MemberId, sourceVersion: bigint, revision: number): MemberRow {
  return { ...id, role: "", allLocations: false, locationIds: [], removed: true, sourceVersion, revision };
}

/** Keeps the workspace from being deleted until the transaction ends; false: there is none. */
async function keepWorkspace(
  transaction: Connection,
  { directory, workspaceId }: MemberId,
): Promise<boolean> {
  const found = await transaction
    .select({ id: workspaces.id })
    .from(workspaces)
    .where(and(eq(workspaces.directory, directory), eq(workspaces.id, workspaceId)))
    .for("key share");
  return found.length > 0;
}

async function lockMember(transaction: Connection, id: MemberId): Promise<MemberRow | undefined> {
  const [row] = await transaction.select().from(members).where(isMember(id)).for("update");
  return row;
}

/** False: another transaction has made the row in the meantime. */
async function storeMember(
  transaction: Connection,
  record: MemberRow,
  stored: MemberRow | undefined,
): Promise<boolean> {
  if (stored === undefined) {
    const inserted = await transaction
      .insert(members)
      .values(record)
      .onConflictDoNothing()
      .returning({ userId: members.userId });
    return inserted.length > 0;
  }
  await transaction.update(members).set(record).where(isMember(record));
  return true;
}

function isSameMember(a: MemberRecord, b: MemberRecord): boolean {
  return (
    a.role === b.role &&
    a.allLocations === b.allLocations &&
    a.sourceVersion === b.sourceVersion &&
    isSameText(a.locationIds, b.locationIds)
  );
}
