import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKey, type JsonApi, succeed } from "../support/json-api.ts";
import { reapFolder } from "../support/reaper.ts";
import type { ExactLimit } from "./history.ts";

/** A key, and what its requests are charged to. */
export interface Subject {
  readonly api: string;
  readonly secret: string;
  /** The bucket of each limit, by its name. */
  readonly buckets: Readonly<Record<string, string>>;
}

export type OnOutage = "deny" | "local";

interface Api {
  readonly name: string;
  readonly limits: readonly (ExactLimit & { readonly per: "key" | "workspace" })[];
}

/** Keys of `several` that share a workspace, and so its limit. */
const keysOfWorkspace = 4;

const windowMs = 1000;

const apis: readonly Api[] = [
  { name: "plain", limits: [{ name: "plain", per: "key", points: 60, windowMs, blockMs: 0 }] },
  { name: "blocking", limits: [{ name: "blocking", per: "key", points: 60, windowMs, blockMs: 400 }] },
  {
    name: "several",
    limits: [
      { name: "own", per: "key", points: 40, windowMs, blockMs: 0 },
      { name: "shared", per: "workspace", points: 120, windowMs, blockMs: 300 },
      { name: "burst", per: "key", points: 15, windowMs: 250, blockMs: 0 },
    ],
  },
];

export const exactLimits: readonly ExactLimit[] = limitsOf(apis);

/** With so many times the points, in windows so many times as long. */
export function longerLimits(times: number): readonly ExactLimit[] {
  return limitsOf(longer(times));
}

function limitsOf(apis: readonly Api[]): ExactLimit[] {
  return apis.flatMap(({ limits }) => limits);
}

function longer(times: number): Api[] {
  return apis.map(({ name, limits }) => ({
    name,
    limits: limits.map((limit) => ({
      ...limit,
      points: limit.points * times,
      windowMs: limit.windowMs * times,
    })),
  }));
}

/** A folder with the policies of all subjects; it goes when this process ends. `times`: as of `longerLimits`. */
export function writePolicies(onOutage: OnOutage, times = 1): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-exact-"));
  reapFolder(folder);
  for (const api of longer(times)) writeFileSync(join(folder, `${api.name}.yaml`), policyText(api, onOutage));
  return folder;
}

function policyText({ name, limits }: Api, onOutage: OnOutage): string {
  const lines = limits.map(
    ({ name, per, points, windowMs, blockMs }) =>
      `  - {name: ${name}, per: ${per}, points: ${points}, window: ${windowMs}ms` +
      `${blockMs === 0 ? "" : `, block: ${blockMs}ms`}}`,
  );
  return `api: ${name}
directory: exact
https: any
on_outage: ${onOutage}
permissions:
  use: {cost: 1, any_key: true}
roles:
  admin: {permissions: [], creates_keys: true, manages_keys: workspace}
key_types:
  token: {prefix: ${name}_, workspace: bound, scopes: all, acts_as: workspace}
limits:
${lines.join("\n")}
`;
}

/** Makes so many keys, of the apis in turn. */
export async function createSubjects(call: JsonApi, count: number): Promise<Subject[]> {
  const workspaces = Math.ceil(count / apis.length / keysOfWorkspace);
  for (let number = 0; number < workspaces; number++) await putWorkspace(call, `w${number}`);
  const subjects: Subject[] = [];
  for (let number = 0; number < count; number++) {
    const api = apis[number % apis.length] as Api;
    const workspaceId = `w${Math.floor(number / apis.length / keysOfWorkspace)}`;
    const fields = { api: api.name, type: "token", scopes: [], userId: "ann", workspaceId };
    const { id, secret } = await createKey(call, fields);
    const buckets = api.limits.map(({ name, per }) => [name, per === "key" ? id : workspaceId]);
    subjects.push({ api: api.name, secret, buckets: Object.fromEntries(buckets) });
  }
  return subjects;
}

async function putWorkspace(call: JsonApi, id: string): Promise<void> {
  await succeed(call("DirectoryService/PutWorkspace", { workspace: { directory: "exact", id } }));
  const member = { directory: "exact", workspaceId: id, userId: "ann", role: "admin", allLocations: true };
  await succeed(call("DirectoryService/PutMember", { member }));
}
