import { z } from "zod";

// What schemas of this folder's files are made of. Each part's message says what would be right.

/** What editors show at the field. */
export function describe<T extends z.ZodType>(schema: T, description: string): T {
  return schema.meta({ description });
}

export function text(message: string) {
  return z.string({ error: message });
}

export function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: `write ${values.length > 1 ? "one of " : ""}${values.join(", ")}` });
}

export function listOf<T extends z.ZodType>(item: T, options: { of: string; max: number }) {
  const message = `write a list of ${options.of}`;
  return z.array(item, { error: message }).max(options.max, `write at most ${options.max}`);
}

export function mapOf<K extends z.ZodString, V extends z.ZodType>(
  key: K,
  value: V,
  options: { of: string; max: number },
) {
  return z
    .record(key, value, { error: `write a map from a name to ${options.of}` })
    .refine((map) => Object.keys(map).length <= options.max, `write at most ${options.max}`);
}

export function fields<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "invalid_type" ? `write a map with ${Object.keys(shape).join(", ")}` : undefined,
  });
}
