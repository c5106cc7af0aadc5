import { z } from "zod";
import { formatPath, type Problem, type ValuePath } from "./problem.ts";
import { suggest, suggestOrList } from "./suggest.ts";

type Issue = z.core.$ZodIssue;

export interface ShapeCheck<T> {
  /** Empty: the value fits. */
  readonly problems: readonly Problem[];
  /** What can be judged further: the value, or what of it is right on its own; undefined: nothing is. */
  readonly parsed: T | undefined;
  /** Where in the value a part of `parsed` stands. */
  readonly originalPath: (path: ValuePath) => ValuePath;
}

/**
 * Checks a value against a schema, and says of each thing that does not fit what would. `independent`
 * are top-level lists and maps whose entries nothing else refers to: a misshapen entry of these keeps
 * nobody from judging the rest.
 */
export function checkShape<T extends z.ZodType>(
  schema: T,
  value: unknown,
  { independent = [] }: { readonly independent?: readonly string[] } = {},
): ShapeCheck<z.output<T>> {
  const result = schema.safeParse(value);
  if (result.success) return { problems: [], parsed: result.data, originalPath: (path) => path };
  const issues = result.error.issues.flatMap((issue) => expand(issue, []));
  const problems = issues.flatMap((issue) => problemsOf(issue, { schema, value }));
  const { rest, originalPath } = withoutMisshapen(value, { issues, independent });
  return { problems, parsed: schema.safeParse(rest).data, originalPath };
}

/** An issue with its full path; that of a union is those of the form that the author has begun. */
function expand(issue: Issue, base: ValuePath): Issue[] {
  const path = [...base, ...(issue.path as ValuePath)];
  if (issue.code === "invalid_union") {
    const begun = issue.errors.find((errors) =>
      errors.every(
        (error) => error.path.length > 0 || !["invalid_type", "invalid_value"].includes(error.code),
      ),
    );
    if (begun !== undefined) return begun.flatMap((error) => expand(error, path));
  }
  return [{ ...issue, path: [...path] }];
}

function problemsOf(issue: Issue, context: { schema: z.ZodType; value: unknown }): Problem[] {
  const path = issue.path as ValuePath;
  const where = formatPath(path);
  const given = valueAt(context.value, path);
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = fieldsAt(context.schema, path);
      return issue.keys.map((key) => ({
        path: [...path, key],
        at: "key",
        message: `There is no field ${JSON.stringify(key)}${where === "" ? "" : ` in ${where}`}.${suggestOrList(key, known)}`,
      }));
    }
    case "invalid_key":
      return [
        { path, at: "key", message: `${where}: ${issue.issues[0]?.message ?? "the name is malformed"}.` },
      ];
    case "invalid_value": {
      if (given === undefined) break;
      const suggestion = typeof given === "string" ? suggest(given, issue.values.map(String)) : "";
      return [{ path, at: "value", message: `${where}: ${issue.message}.${suggestion}` }];
    }
    default:
      break;
  }
  if (given === undefined && path.length > 0) {
    const field = path.at(-1) as string;
    return [
      {
        path,
        at: "key",
        message: `${formatPath(path.slice(0, -1)) || "The file"} lacks ${field}: ${issue.message}.`,
      },
    ];
  }
  return [{ path, at: "value", message: `${where === "" ? "The file" : where}: ${issue.message}.` }];
}

function valueAt(value: unknown, path: ValuePath): unknown {
  return path.reduce<unknown>(
    (at, part) =>
      typeof at === "object" && at !== null && Object.hasOwn(at, part)
        ? (at as Record<string | number, unknown>)[part]
        : undefined,
    value,
  );
}

/** The field names that the schema has at a path. */
function fieldsAt(schema: z.ZodType, path: ValuePath): string[] {
  let at: unknown = inner(schema);
  for (const part of path) {
    if (at instanceof z.ZodObject) at = inner(at.shape[part as string]);
    else if (at instanceof z.ZodRecord) at = inner(at.valueType);
    else if (at instanceof z.ZodArray) at = inner(at.element);
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

/** The schema below optionals and defaults; of a union its map. */
function inner(schema: unknown): unknown {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return inner(schema.unwrap());
  if (schema instanceof z.ZodUnion) {
    const options = schema.options.map(inner);
    return options.find((option) => option instanceof z.ZodObject) ?? options[0];
  }
  return schema;
}

/** The value without its unknown fields and without misshapen entries of `independent`. */
function withoutMisshapen(
  value: unknown,
  by: { readonly issues: readonly Issue[]; readonly independent: readonly string[] },
): { readonly rest: unknown; readonly originalPath: ShapeCheck<unknown>["originalPath"] } {
  const rest = structuredClone(value);
  const removed = new Map<string, Set<number>>();
  for (const issue of by.issues) {
    const path = issue.path as ValuePath;
    const [top, entry] = path;
    if (issue.code === "unrecognized_keys") {
      const holder = valueAt(rest, path) as Record<string, unknown> | undefined;
      for (const key of issue.keys) delete holder?.[key];
    } else if (typeof top === "string" && by.independent.includes(top) && entry !== undefined) {
      const holder = valueAt(rest, [top]);
      if (Array.isArray(holder)) removed.set(top, (removed.get(top) ?? new Set()).add(entry as number));
      else delete (holder as Record<string, unknown> | undefined)?.[entry];
    }
  }
  const kept = new Map<string, readonly number[]>();
  for (const [top, gone] of removed) {
    const list = valueAt(rest, [top]) as unknown[];
    const places = list.map((_, place) => place).filter((place) => !gone.has(place));
    kept.set(top, places);
    (rest as Record<string, unknown>)[top] = places.map((place) => list[place]);
  }
  return {
    rest,
    originalPath: (path) => {
      const [top, entry, ...below] = path;
      const places = typeof top === "string" ? kept.get(top) : undefined;
      if (places === undefined || typeof entry !== "number") return path;
      return [top as string, places[entry] as number, ...below];
    },
  };
}
