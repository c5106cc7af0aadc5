import type { AuditLog } from "../core/ports.ts";
import type { AuditEntry } from "../core/records.ts";
import type { Connection, Database } from "./database.ts";
import { auditLog } from "./schema.ts";

export function createAuditLog(database: Database): AuditLog {
  return {
    write: (entry, deadline) => database.run(deadline, (connection) => writeAudit(connection, entry)),
  };
}

export async function writeAudit(connection: Connection, audit: AuditEntry): Promise<void> {
  const { callerId, actorUserId, action, detail } = audit;
  await connection.insert(auditLog).values({ callerId, actorUserId, action, detail: { ...detail } });
}
