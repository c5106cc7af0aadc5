import { invalidField } from "../core/errors.ts";
import type { Page, PageRequest } from "../core/ports.ts";

/** A page of the rows read, of which one more than the page's size was asked for. */
export function pageOf<Row, Record>(
  rows: readonly Row[],
  page: PageRequest,
  as: { record: (row: Row) => Record; position: (record: Record) => string },
): Page<Record> {
  const records = rows.slice(0, page.size).map(as.record);
  const last = records.at(-1);
  return {
    records,
    next: rows.length > page.size && last !== undefined ? as.position(last) : undefined,
  };
}

/** Where a page of what is listed newest first ended. */
export function timePosition(record: { createTimeMs: number; id: string }): string {
  return `${record.createTimeMs}:${record.id}`;
}

export function parseTimePosition(position: string): { createTimeMs: number; id: string } {
  const match = /^(\d{1,16}):(.+)$/.exec(position);
  if (match === null) throw invalidField("page_token", "is not one that this server gave");
  return { createTimeMs: Number(match[1]), id: match[2] as string };
}
