import type { AuditLog } from "../core/ports.ts";
import type { Database } from "./database.ts";
import { auditLog } from "./schema.ts";

export function createAuditLog(database: Database): AuditLog {
  return {
    write: ({ callerId, actorUserId, action, detail }, deadline) =>
      database.run(deadline, async (connection) => {
        await connection.insert(auditLog).values({ callerId, actorUserId, action, detail: { ...detail } });
      }),
  };
}
