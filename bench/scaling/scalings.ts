import { checkMessages, checkPath } from "../check-messages.ts";
import type { Subject } from "../subject.ts";
import { keyCount, startTollgateWithKeys, type TollgateWithKeysOptions } from "../tollgate-with-keys.ts";
import { policyWithRoutes, routePath, unlimitedPolicy } from "./scaling-policy.ts";

/** One of the two sizes that are set against each other. */
export interface Side {
  /** Such as "1,000 keys". */
  readonly size: string;
  readonly subject: Subject;
  /** Keys that are asked for, in turn. */
  readonly keys: number;
  readonly connections: number;
  /** On each connection. */
  readonly inFlight: number;
}

export interface Scaling {
  readonly small: Side;
  readonly large: Side;
  stop(): Promise<void>;
}

/** What may grow, by its name on the command line; all else is the same on both sides. */
export const scalings: Readonly<Record<string, () => Promise<Scaling>>> = {
  keys: startKeys,
  rows: startRows,
  routes: startRoutes,
  connections: startConnections,
  spread: startSpread,
};

const load = { connections: 4, inFlight: 50 };
const fewKeys = 1000;
const manyKeys = 1_000_000;
/** Of the many: as many keys as a replica caches. */
const askedKeys = 100_000;
/** A replica caches fewer workspaces than keys. */
const keysPerWorkspace = 10;
const permission = { case: "permission", value: "items.read" } as const;

async function startKeys(): Promise<Scaling> {
  const policies = unlimitedPolicy();
  const start = (options: TollgateWithKeysOptions) =>
    startSubject({ ...options, policies, keysPerWorkspace }, () => permission);
  const few = await start({ keys: fewKeys });
  const many = await start({ keys: askedKeys, unusedKeys: manyKeys - askedKeys });
  return {
    small: { ...load, size: "1,000 keys", subject: few, keys: fewKeys },
    large: { ...load, size: "1,000,000 keys, 100,000 asked", subject: many, keys: askedKeys },
    stop: () => stopAll([few, many]),
  };
}

/** As many keys are asked for, of few and of many. */
async function startRows(): Promise<Scaling> {
  const policies = unlimitedPolicy();
  const start = (unusedKeys: number) =>
    startSubject({ keys: fewKeys, unusedKeys, policies, keysPerWorkspace }, () => permission);
  const few = await start(0);
  const many = await start(manyKeys - fewKeys);
  return {
    small: { ...load, size: "1,000 keys, all asked", subject: few, keys: fewKeys },
    large: { ...load, size: "1,000,000 keys, 1,000 asked", subject: many, keys: fewKeys },
    stop: () => stopAll([few, many]),
  };
}

async function startRoutes(): Promise<Scaling> {
  const start = (routes: number) =>
    startSubject({ policies: policyWithRoutes(routes) }, (index) => ({
      case: "http",
      value: { method: "GET", path: routePath(index % routes), scheme: "https", host: "api.retrac.co" },
    }));
  const few = await start(10);
  const many = await start(500);
  return {
    small: { ...load, size: "10 routes", subject: few, keys: keyCount },
    large: { ...load, size: "500 routes", subject: many, keys: keyCount },
    stop: () => stopAll([few, many]),
  };
}

/** One server, and a call in flight on each connection. */
async function startConnections(): Promise<Scaling> {
  return startOneSubject({ few: { connections: 10, inFlight: 1 }, many: { connections: 1000, inFlight: 1 } });
}

/** One server, and as much work in flight on few connections as on many. */
async function startSpread(): Promise<Scaling> {
  return startOneSubject({ few: { connections: 10, inFlight: 80 }, many: { connections: 800, inFlight: 1 } });
}

async function startOneSubject({
  few,
  many,
}: Record<"few" | "many", { connections: number; inFlight: number }>): Promise<Scaling> {
  const subject = await startSubject({ policies: unlimitedPolicy() }, () => permission);
  const side = ({ connections, inFlight }: typeof few): Side => ({
    size: `${connections.toLocaleString("en")} connections, ${inFlight} in flight on each`,
    subject,
    keys: keyCount,
    connections,
    inFlight,
  });
  return { small: side(few), large: side(many), stop: () => stopAll([subject]) };
}

/** `targetOf` the key of that number. */
async function startSubject(
  options: TollgateWithKeysOptions,
  targetOf: Parameters<typeof checkMessages>[1],
): Promise<Subject> {
  const { server, redis, postgresUrl, keys, stop } = await startTollgateWithKeys(options);
  return {
    name: "Tollgate Check",
    pid: server.pid,
    redis,
    postgresUrl,
    job: {
      url: server.url,
      path: checkPath,
      headers: { authorization: `Bearer ${server.adminToken}` },
      messages: checkMessages(keys, targetOf),
      // CheckResponse.allowed is true.
      expectedPrefix: "0801",
    },
    stop,
  };
}

async function stopAll(subjects: readonly Subject[]): Promise<void> {
  await Promise.all(subjects.map((subject) => subject.stop()));
}
