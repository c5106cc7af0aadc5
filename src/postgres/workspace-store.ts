import { and, asc, eq, gt, inArray, isNull, sql } from "drizzle-orm";
import type { Change, DirectoryStore, WorkspaceFields } from "../core/ports.ts";
import type { WorkspaceRecord } from "../core/records.ts";
import { type Connection, type Database, preparedOnce } from "./database.ts";
import { keyRecord } from "./key-record.ts";
import { keyChange } from "./key-store.ts";
import { pageOf } from "./page.ts";
import { keys, members, workspaces } from "./schema.ts";
import { isSameText } from "./text-lists.ts";
import { writeChange } from "./write-change.ts";

type WorkspaceStore = Pick<
  DirectoryStore,
  "getWorkspace" | "listWorkspaces" | "putWorkspace" | "deleteWorkspace"
>;

export function createWorkspaceStore(database: Database): WorkspaceStore {
  return {
    async getWorkspace(directory, id, deadline) {
      const [record] = await database.run(deadline, (connection) =>
        workspaceById(connection).execute({ directory, id }),
      );
      return record;
    },

    async listWorkspaces(directory, page, deadline) {
      const after = page.after === undefined ? undefined : gt(workspaces.id, page.after);
      const rows = await database.run(deadline, (connection) =>
        connection
          .select()
          .from(workspaces)
          .where(and(eq(workspaces.directory, directory), after))
          .orderBy(asc(workspaces.id))
          .limit(page.size + 1),
      );
      return pageOf(rows, page, { record: (row): WorkspaceRecord => row, position: ({ id }) => id });
    },

    putWorkspace: ({ directory, workspaceId }, { sourceVersion, next, audit, deadline }) =>
      database.transaction(deadline, async (transaction) => {
        // Twice at most: what was not there is there once the insert has conflicted, unless it was deleted.
        for (;;) {
          const stored = await lockWorkspace(transaction, directory, workspaceId);
          if (stored !== undefined && sourceVersion > 0n && sourceVersion < stored.sourceVersion) {
            return "stale";
          }
          const record: WorkspaceRecord = {
            ...fieldsOf(next(stored)),
            directory,
            id: workspaceId,
            sourceVersion: sourceVersion > 0n ? sourceVersion : (stored?.sourceVersion ?? 0n),
            revision: (stored?.revision ?? 0) + 1,
          };
          if (stored !== undefined && isSameWorkspace(stored, record)) return { record: stored, change: 0n };
          if (!(await storeWorkspace(transaction, record, stored))) continue;
          return {
            record,
            change: await writeChange(transaction, audit, [{ kind: "workspace", directory, workspaceId }]),
          };
        }
      }),

    deleteWorkspace: ({ directory, workspaceId }, { apis, revokeReason, nowMs, audit, deadline }) =>
      database.transaction(deadline, async (transaction) => {
        const deleted = await transaction
          .delete(workspaces)
          .where(and(eq(workspaces.directory, directory), eq(workspaces.id, workspaceId)))
          .returning({ id: workspaces.id });
        if (deleted.length === 0) return { record: false, change: 0n };
        const deletedMembers = await transaction
          .delete(members)
          .where(and(eq(members.directory, directory), eq(members.workspaceId, workspaceId)))
          .returning({ userId: members.userId, removed: members.removed });
        const revokedKeys =
          apis.length === 0
            ? []
            : await transaction
                .update(keys)
                .set({ revokeTimeMs: nowMs, revokeReason, revision: sql`${keys.revision} + 1` })
                .where(
                  and(
                    inArray(keys.api, [...apis]),
                    eq(keys.workspaceId, workspaceId),
                    isNull(keys.revokeTimeMs),
                  ),
                )
                .returning();
        const parts: [Change, ...Change[]] = [{ kind: "workspace", directory, workspaceId }];
        for (const { userId, removed } of deletedMembers) {
          if (!removed) parts.push({ kind: "member", directory, workspaceId, userId });
        }
        for (const key of revokedKeys) parts.push(keyChange([keyRecord(key)]));
        return { record: true, change: await writeChange(transaction, audit, parts) };
      }),
  };
}

const workspaceById = preparedOnce((connection) =>
  connection
    .select()
    .from(workspaces)
    .where(
      and(eq(workspaces.directory, sql.placeholder("directory")), eq(workspaces.id, sql.placeholder("id"))),
    )
    .prepare("workspace_by_id"),
);

async function lockWorkspace(
  transaction: Connection,
  directory: string,
  id: string,
): Promise<WorkspaceRecord | undefined> {
  const [stored] = await transaction
    .select()
    .from(workspaces)
    .where(and(eq(workspaces.directory, directory), eq(workspaces.id, id)))
    // Not "update": a member put at the same time only needs the workspace to stay.
    .for("no key update");
  return stored;
}

/** False: another transaction has made the workspace in the meantime. */
async function storeWorkspace(
  transaction: Connection,
  record: WorkspaceRecord,
  stored: WorkspaceRecord | undefined,
): Promise<boolean> {
  if (stored === undefined) {
    const inserted = await transaction
      .insert(workspaces)
      .values(record)
      .onConflictDoNothing()
      .returning({ id: workspaces.id });
    return inserted.length > 0;
  }
  await transaction
    .update(workspaces)
    .set(record)
    .where(and(eq(workspaces.directory, record.directory), eq(workspaces.id, record.id)));
  return true;
}

/** Only these, whatever else the object holds. */
function fieldsOf({ name, plan, features, withheldScopes, suspended }: WorkspaceFields): WorkspaceFields {
  return { name, plan, features, withheldScopes, suspended };
}

function isSameWorkspace(a: WorkspaceRecord, b: WorkspaceRecord): boolean {
  return (
    a.name === b.name &&
    a.plan === b.plan &&
    a.suspended === b.suspended &&
    a.sourceVersion === b.sourceVersion &&
    isSameText(a.features, b.features) &&
    isSameText(a.withheldScopes, b.withheldScopes)
  );
}
