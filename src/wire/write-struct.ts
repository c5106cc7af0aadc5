import type { WireWriter } from "./wire-writer.ts";

/** What google.protobuf.Value can hold. */
type StructValue = string | number | boolean | null | readonly StructValue[] | StructObject;

export interface StructObject {
  readonly [name: string]: StructValue;
}

/** A google.protobuf.Struct in that field. */
export function writeStruct(field: number, object: StructObject, writer: WireWriter): void {
  const start = writer.begin(field);
  for (const name in object) {
    const entry = writer.begin(1);
    writer.stringAlways(1, name);
    writeValue(2, object[name] as StructValue, writer);
    writer.end(entry);
  }
  writer.end(start);
}

function writeValue(field: number, value: StructValue, writer: WireWriter): void {
  const start = writer.begin(field);
  if (typeof value === "string") writer.stringAlways(3, value);
  else if (typeof value === "number") writer.doubleAlways(2, value);
  else if (typeof value === "boolean") writer.boolAlways(4, value);
  else if (value === null) writer.uint32Always(1, 0);
  else if (isList(value)) writeList(6, value, writer);
  else writeStruct(5, value, writer);
  writer.end(start);
}

function writeList(field: number, values: readonly StructValue[], writer: WireWriter): void {
  const start = writer.begin(field);
  for (const value of values) writeValue(1, value, writer);
  writer.end(start);
}

function isList(value: StructObject | readonly StructValue[]): value is readonly StructValue[] {
  return Array.isArray(value);
}
