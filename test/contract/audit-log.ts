import { expect, test } from "vitest";
import type { AuditLog } from "../../src/core/ports.ts";
import type { AuditEntry } from "../../src/core/records.ts";
import { soon, unique } from "./records.ts";

/** What every AuditLog must do; `read` answers the entries of one caller, oldest first. */
export function auditLogContract(
  open: () => AuditLog,
  read: (callerId: string) => Promise<readonly unknown[]>,
): void {
  const entry = (change: Partial<AuditEntry> = {}): AuditEntry => ({
    callerId: unique("ct"),
    actorUserId: "sam",
    action: "points.grant",
    detail: { key_id: "key_1", points: 5, limits: ["a", "b"], done: true, reason: 'the "case"' },
    ...change,
  });

  test("entries are kept as they were written, in order", async () => {
    const first = entry();
    const second = entry({ callerId: first.callerId, actorUserId: "", action: "points.reset", detail: {} });
    await open().write(first, soon());
    await open().write(second, soon());
    expect(await read(first.callerId)).toEqual([
      { caller_id: first.callerId, actor_user_id: "sam", action: first.action, detail: first.detail },
      { caller_id: first.callerId, actor_user_id: "", action: "points.reset", detail: {} },
    ]);
  });

  test("past the deadline nothing is written", async () => {
    const late = entry();
    await expect(open().write(late, performance.now() - 1)).rejects.toMatchObject({ code: "unavailable" });
    expect(await read(late.callerId)).toEqual([]);
  });
}
