import type { CallFrame } from "./cpu-profile.ts";

/** Where the CPU time of a Check goes, as the table and the picture name it. */
export const steps = {
  http2: "http2: frames, HPACK, streams",
  codecs: "wire, codecs: read the request, write the answer",
  rpc: "rpc: authentication, runner, log, metrics",
  core: "core: the decision",
  replica: "replica: cached rights",
  redis: "redis: encode, send, read",
  points: "points: breaker, outages",
  postgres: "postgres: lease, last uses",
  other: "everything else of Tollgate",
  node: "node: sockets, timers, promises",
  collection: "garbage collection on the main thread",
  threads: "other threads: garbage collection, compiler",
} as const;

export type Step = keyof typeof steps;

/** Of dist, by the path below it. The first that fits. */
const ownFiles: readonly (readonly [path: RegExp, step: Step])[] = [
  [/^http2\//, "http2"],
  [/^wire\/|^(rpc|proxy)\/.*-codec\.js$/, "codecs"],
  [/^(rpc|proxy)\/|^(log|metrics)\.js$/, "rpc"],
  [/^(core|policy)\//, "core"],
  [/^replica\//, "replica"],
  [/^redis\//, "redis"],
  [/^points\//, "points"],
  [/^postgres\//, "postgres"],
  [/./, "other"],
];

/** Packages that do a step of their own, also when nothing of Tollgate called them; others do their caller's. */
const packages: readonly (readonly [name: RegExp, step: Step])[] = [
  [/^(ioredis|@ioredis\/|redis-parser|redis-errors|cluster-key-slot|standard-as-callback)/, "redis"],
  [/^(pino|sonic-boom|prom-client)/, "rpc"],
  [/^(postgres|drizzle-orm)\//, "postgres"],
];

/** What Node does around its callers. Its other modules (buffer, crypto, …) compute for them. */
const nodeAround =
  /^node:(net|tls|stream|timers|internal\/(stream|timers|process\/|async_hooks|async_context|net|tls))/;

/** The step that a function is part of, whoever called it; undefined of one that does its caller's. */
export function stepOf({ functionName, url }: CallFrame): Step | undefined {
  if (functionName === "(garbage collector)") return "collection";
  if (functionName === "(program)" || nodeAround.test(url)) return "node";
  const path = shownPath(url);
  if (path.startsWith("node_modules/")) return firstOf(packages, path.slice("node_modules/".length));
  return path.startsWith("dist/") ? firstOf(ownFiles, path.slice("dist/".length)) : undefined;
}

/** A file without the folders above it that differ from machine to machine; empty of what is in no file. */
export function shownPath(url: string): string {
  const [path] = /(?:node_modules|dist)\/(?!.*\bnode_modules\/).*$/.exec(url) ?? [];
  return path ?? (url.startsWith("node:") ? url : url.slice(url.lastIndexOf("/") + 1));
}

function firstOf(rules: readonly (readonly [RegExp, Step])[], text: string): Step | undefined {
  return rules.find(([pattern]) => pattern.test(text))?.[1];
}
