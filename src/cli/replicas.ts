import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type ListReplicasResponse,
  ListReplicasResponseSchema,
  type Replica,
  ReplicaState,
} from "../gen/tollgate/v1/replica_service_pb.ts";
import type { AddCommand } from "./context.ts";
import { exitStatus } from "./exit.ts";
import { messageJson, openSession } from "./session.ts";
import { formatTable, printable, type Terminal } from "./terminal.ts";

/** Of a digest: enough to tell two apart; --json has all 64. */
const DIGEST_DIGITS = 12;

export const addReplicas: AddCommand = (parent, { terminal, finish }) => {
  parent
    .command("replicas")
    .description("show who serves beside the same database, and whether all have the same policies")
    .addHelpText("after", replicasNotes)
    .action(async (_options: object, command: Command) => {
      const session = openSession(command, terminal);
      const answer = await session.replicas.listReplicas({});
      const problems = problemsIn(answer);
      if (session.asJson) terminal.print(messageJson(ListReplicasResponseSchema, answer));
      else terminal.print(replicasText(answer, problems, terminal));
      finish(problems.length === 0 ? exitStatus.ok : exitStatus.failed);
    });
};

const replicasNotes = `
Exit status: 0 all replicas are live and have the same policies, 1 one has lapsed or policies differ.
With --json it is one object: highestChange, replicas, policies.`;

/** A line each; none: all is as it should be. */
function problemsIn({ replicas, policies }: ListReplicasResponse): string[] {
  const absent = replicas.some(({ isThis }) => isThis)
    ? []
    : ["the server that answers is not among them: it holds no lease"];
  const lapsed = replicas
    .filter((replica) => !isLive(replica))
    .map(
      ({ id, renewedAgo }) =>
        `replica ${id} has lapsed: it last renewed ${age(renewedAgo)} ago, and ended, stands still or does not reach Postgres`,
    );
  const differing = policies
    .filter(({ policiesAgree }) => !policiesAgree)
    .map(
      ({ api }) =>
        `live replicas have different policies of ${api}: what the newest takes away is not taken away everywhere`,
    );
  return [...absent, ...lapsed, ...differing];
}

function replicasText(
  answer: ListReplicasResponse,
  problems: readonly string[],
  terminal: Pick<Terminal, "style">,
): string {
  const { replicas, policies, highestChange } = answer;
  const live = replicas.filter(isLive);
  const verdict =
    problems.length === 0
      ? [`${terminal.style("green", "✓")} all live, with the same policies`]
      : problems.map((problem) => `${terminal.style("red", "✗")} ${printable(problem)}`);
  const tables = [
    ...(replicas.length === 0 ? [] : [replicasTable(replicas)]),
    ...(policies.length === 0 ? [] : [policiesTable(answer, live)]),
  ];
  const sum = `${live.length} of ${replicas.length} live, last change ${highestChange}`;
  return [...tables.map((table) => `${table}\n`), sum, ...verdict].join("\n");
}

function replicasTable(replicas: readonly Replica[]): string {
  return formatTable(
    ["replica", "version", "state", "renewed", "lease", "up", "applied", "behind", ""],
    replicas.map((it) => [
      it.id,
      it.version || "-",
      isLive(it) ? "live" : "LAPSED",
      `${age(it.renewedAgo)} ago`,
      age(it.lease),
      age(it.startedAgo),
      String(it.appliedChange),
      String(it.changesBehind),
      it.isThis ? "this one answers" : "",
    ]),
  );
}

/** A line for each policy that there is of an api, and who has it. */
function policiesTable({ policies }: ListReplicasResponse, live: readonly Replica[]): string {
  const rows = policies.flatMap(({ api, policiesAgree, digests }): string[][] => {
    if (policiesAgree) return digests.map((digest) => [api, shortened(digest), "all live replicas"]);
    const having = live.map((it) => [api, shortened(policyOf(it, api) ?? "none"), it.id]);
    return having.sort(([, a = ""], [, b = ""]) => a.localeCompare(b));
  });
  return formatTable(["api", "policy", "on"], rows);
}

function isLive({ state }: Replica): boolean {
  return state === ReplicaState.LIVE;
}

function policyOf({ policies }: Replica, api: string): string | undefined {
  return Object.hasOwn(policies, api) ? policies[api] : undefined;
}

function shortened(digest: string): string {
  return digest.slice(0, DIGEST_DIGITS);
}

/** In the largest unit of which there are two; below ten seconds to a tenth. */
function age(duration: Duration | undefined): string {
  const seconds = duration === undefined ? 0 : durationMs(duration) / 1000;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
