import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import postgres from "postgres";
import { createJsonApi } from "../support/json-api.ts";
import { startRedis } from "../support/redis.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { until } from "../support/until.ts";
import { ask, LONGEST_ANSWER_MS } from "./asking.ts";
import { findViolations, type Violation } from "./checker.ts";
import { runClient } from "./clients.ts";
import { causeFaults, type FaultKind } from "./faults.ts";
import type { Decision, ExactLimit, Rules } from "./history.ts";
import { type AskedServer, type ExactServer, startExactServer } from "./servers.ts";
import { createSubjects, exactLimits, type OnOutage, type Subject, writePolicies } from "./subjects.ts";

export interface ExactRunOptions {
  readonly seed: number;
  readonly onOutage: OnOutage;
  /** At least so many, repeats not counted. */
  readonly decisions: number;
  readonly clients: number;
  readonly subjects: number;
  /** An empty database. */
  readonly databaseUrl: string;
  /** How long a server waits for Redis: longer than usual where all of this shares a busy machine. */
  readonly budgetMs: number;
  /** How long a client waits between two calls, below. */
  readonly clientPauseMs: number;
  /** How long it is from one fault to the next, below. */
  readonly faultPauseMs: number;
  /** Of the faults, how many kill a server. */
  readonly kills: number;
  /** Processes of each server; default 1. */
  readonly workers?: number;
}

export interface ExactRun {
  readonly history: readonly Decision[];
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly violations: readonly Violation[];
  /** Keys that would stay in Redis for ever. */
  readonly keysWithoutExpiry: readonly string[];
}

export const SERVERS = 3;

/**
 * Three servers on one Postgres and one Redis are asked by many clients while faults happen. Once those are over,
 * each subject's points must come back, and are spent to the last. Then what was answered is judged.
 */
export async function exactRun(options: ExactRunOptions): Promise<ExactRun> {
  const redis = await startRedis();
  const direct = new Redis(redis.url);
  const env = {
    DATABASE_URL: options.databaseUrl,
    TOLLGATE_ADMIN_TOKEN: randomBytes(24).toString("hex"),
    TOLLGATE_POINTS_BUDGET: `${options.budgetMs}ms`,
    TOLLGATE_POLICIES: writePolicies(options.onOutage),
    TOLLGATE_WORKERS: String(options.workers ?? 1),
  };
  const servers: ExactServer[] = [];
  const history: Decision[] = [];
  const faults: Partial<Record<FaultKind, number>> = {};
  try {
    await runTollgate(["migrate"], { env });
    for (let number = 1; number <= SERVERS; number++) {
      servers.push(await startExactServer({ number, redisPort: redis.port, env }));
    }
    const call = createJsonApi((servers[0] as ExactServer).url, env.TOLLGATE_ADMIN_TOKEN);
    const subjects = await createSubjects(call, options.subjects);
    await acquainted(options.databaseUrl, SERVERS * (options.workers ?? 1));
    const onDecisions = (decisions: readonly Decision[]) => void history.push(...decisions);

    const calm = new AbortController();
    const storm = causeFaults({
      seed: options.seed,
      servers,
      redis,
      direct,
      pauseMs: options.faultPauseMs,
      kills: options.kills,
      signal: calm.signal,
      onFault: (kind) => {
        faults[kind] = (faults[kind] ?? 0) + 1;
      },
    });
    const clients = Array.from({ length: options.clients }, (_, number) =>
      runClient({
        seed: options.seed,
        number,
        questions: Math.ceil(options.decisions / options.clients),
        pauseMs: options.clientPauseMs,
        servers,
        subjects,
        onDecisions,
      }),
    );
    await Promise.all([Promise.all(clients).finally(() => calm.abort()), storm]);
    for (const { proxy } of servers) proxy.calm();
    await recovered({ servers, subjects });
    for (const server of servers) await spendAll({ server, subjects, onDecisions });
    return {
      history,
      faults,
      violations: findViolations(history, rulesFor(options)),
      keysWithoutExpiry: await lastingKeys(direct),
    };
  } finally {
    direct.disconnect();
    redis.resume();
    await Promise.all(servers.map((server) => server.stop()));
    await redis.stop();
  }
}

function rulesFor({ onOutage, budgetMs }: ExactRunOptions): Rules {
  return {
    limits: exactLimits,
    lateMs: budgetMs,
    toldLaterMs: onOutage === "local" ? TOLD_LATER_MS : 0,
    leastReplicas: SERVERS,
    longestAnswerMs: LONGEST_ANSWER_MS,
  };
}

/** The longest that a process is without Redis, in which it keeps what it decided alone. */
const TOLD_LATER_MS = 10_000;

/** Until each replica has counted the others; its local share hangs on that. */
export async function acquainted(databaseUrl: string, replicas = SERVERS): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1 });
  const renewals = new Map<string, Set<number>>();
  try {
    await until(async () => {
      const rows = await sql<{ id: string; renew_time: Date }[]>`select id, renew_time from replicas`;
      for (const { id, renew_time } of rows) {
        renewals.set(id, (renewals.get(id) ?? new Set()).add(renew_time.getTime()));
      }
      // The second that is seen began when all were there; the third when the second's answer had been read.
      return renewals.size === replicas && [...renewals.values()].every(({ size }) => size >= 3);
    });
  } finally {
    await sql.end();
  }
}

/** Until every server decides by the store again, and tells every point back and no block: nothing was left spent. */
export async function recovered({
  servers,
  subjects,
  limits = exactLimits,
}: {
  servers: readonly AskedServer[];
  subjects: readonly Subject[];
  limits?: readonly ExactLimit[];
}): Promise<void> {
  const peeks = subjects.map((subject) => ({ subject, cost: 1, mode: "peek" as const, requestId: "" }));
  const points = new Map(limits.map((limit) => [limit.name, limit.points]));
  for (const server of servers) {
    await until(async () =>
      (await ask(server, peeks)).every(
        ({ answer }) =>
          answer.kind === "decided" &&
          answer.by === "store" &&
          answer.states.every(
            ({ limit, remaining, blockedMs }) => remaining === points.get(limit) && blockedMs === 0,
          ),
      ),
    );
  }
}

/** More of each subject than it has, in calls as big as they may be. */
export async function spendAll(of: {
  server: AskedServer;
  subjects: readonly Subject[];
  onDecisions: (decisions: readonly Decision[]) => void;
}): Promise<void> {
  const questions = of.subjects.map((subject) => ({
    subject,
    cost: 5,
    mode: "enforce" as const,
    requestId: "",
  }));
  for (let round = 0; round < 15; round++) of.onDecisions(await ask(of.server, questions));
}

async function lastingKeys(redis: Redis): Promise<string[]> {
  const keys = await redis.keys("*");
  const ttls = await Promise.all(keys.map((key) => redis.pttl(key)));
  return keys.filter((_, index) => ttls[index] === -1);
}
