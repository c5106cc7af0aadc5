import type { KeyPatch } from "../core/ports.ts";
import type { KeyRecord } from "../core/records.ts";
import type { keys } from "./schema.ts";

type KeyRow = typeof keys.$inferSelect;

export function keyRecord(row: KeyRow): KeyRecord {
  return {
    ...row,
    expireTimeMs: row.expireTimeMs ?? undefined,
    revokeTimeMs: row.revokeTimeMs ?? undefined,
    lastUseTimeMs: row.lastUseTimeMs ?? undefined,
    previousDigest: row.previousDigest ?? "",
    previousExpireTimeMs: row.previousExpireTimeMs ?? undefined,
    previousLastUseTimeMs: row.previousLastUseTimeMs ?? undefined,
  };
}

export function keyRow(record: KeyRecord): KeyRow {
  return {
    ...record,
    // A copy has a prototype, without which drizzle fails.
    metadata: { ...record.metadata },
    expireTimeMs: record.expireTimeMs ?? null,
    revokeTimeMs: record.revokeTimeMs ?? null,
    lastUseTimeMs: record.lastUseTimeMs ?? null,
    previousDigest: record.previousDigest === "" ? null : record.previousDigest,
    previousExpireTimeMs: record.previousExpireTimeMs ?? null,
    previousLastUseTimeMs: record.previousLastUseTimeMs ?? null,
  };
}

/** The columns that a patch sets: a field given as undefined becomes null, one left out stays. */
export function keyColumns(patch: KeyPatch): Partial<KeyRow> {
  const { metadata, ...rest } = patch;
  const columns: Partial<Record<string, unknown>> = { ...rest };
  for (const [name, value] of Object.entries(columns)) if (value === undefined) columns[name] = null;
  if (patch.previousDigest === "") columns["previousDigest"] = null;
  if (metadata !== undefined) columns["metadata"] = { ...metadata };
  return columns;
}
