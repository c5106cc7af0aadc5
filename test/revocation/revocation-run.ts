import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { DenyReason, Mode } from "../../src/gen/tollgate/v1/decision_pb.ts";
import { type Choices, createChoices } from "../exact/choices.ts";
import { createJsonApi } from "../support/json-api.ts";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { until } from "../support/until.ts";
import { causeFaults, deathKinds, type FaultKind, faultKinds } from "./faults.ts";
import {
  type Ban,
  type ChangeKind,
  type CheckSeen,
  changeKinds,
  findViolations,
  type Violation,
} from "./history.ts";
import { type Replica, startReplica } from "./servers.ts";
import { createSubject, type Subject, takingOf, writePolicy } from "./subjects.ts";

export interface RevocationRunOptions {
  readonly seed: number;
  /** That take something away; each is followed by one that gives it back. */
  readonly changes: number;
  readonly clients: number;
  /** "dead": of one replica, which nobody asks to change anything. "on": all kinds, of all replicas. */
  readonly faults: "off" | "dead" | "on";
  /** On top of the replicas' environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RevocationRun {
  readonly checks: readonly CheckSeen[];
  readonly bans: readonly Ban[];
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly violations: readonly Violation[];
}

const REPLICAS = 3;
const CHANGERS = 4;
const SUBJECTS_OF_CHANGER = 4;

/** Checks that are seen of what was taken, before it is given back. */
const CHECKS_OF_BAN = 6;

/** A call that may be waiting for a replica that is frozen. */
const LONGEST_CALL_MS = 15_000;

/** Checks that one client leaves behind with replicas that do not answer. */
const MOST_PENDING = 20;

/**
 * Three replicas on one Postgres and one Redis are asked without a pause, while rights are taken and given back through
 * any of them, and, if asked for, faults happen. Then what was answered is judged.
 */
export async function revocationRun(options: RevocationRunOptions): Promise<RevocationRun> {
  const { seed } = options;
  const postgres = await startPostgres();
  const redis = await startRedis();
  const env = {
    REDIS_URL: redis.url,
    TOLLGATE_ADMIN_TOKEN: randomBytes(24).toString("hex"),
    TOLLGATE_POINTS_BUDGET: "500ms",
    TOLLGATE_POLICIES: writePolicy(),
    ...options.env,
  };
  const replicas: Replica[] = [];
  const checks: CheckSeen[] = [];
  const bans: Ban[] = [];
  const faults: Partial<Record<FaultKind, number>> = {};
  const over = new AbortController();
  try {
    await runTollgate(["migrate"], { env: { ...env, DATABASE_URL: postgres.url } });
    for (let number = 1; number <= REPLICAS; number++) {
      replicas.push(
        await startReplica({ number, databaseUrl: postgres.url, env, isProxied: options.faults === "on" }),
      );
    }
    const call = createJsonApi((replicas[0] as Replica).url, env.TOLLGATE_ADMIN_TOKEN);
    const groups: Subject[][] = [];
    for (let changer = 0; changer < CHANGERS; changer++) {
      const group: Subject[] = [];
      for (let number = 0; number < SUBJECTS_OF_CHANGER; number++) {
        group.push(await createSubject(call, `w${changer}-${number}`));
      }
      groups.push(group);
    }
    const watched = createWatched();
    const calm = new AbortController();
    const asked = options.faults === "dead" ? replicas.slice(1) : replicas;
    const storm =
      options.faults === "off"
        ? undefined
        : causeFaults({
            ...(options.faults === "dead"
              ? { kinds: deathKinds, replicas: replicas.slice(0, 1) }
              : { kinds: faultKinds, replicas }),
            postgres,
            choices: createChoices(seed, -1),
            signal: calm.signal,
            onFault: (kind) => {
              faults[kind] = (faults[kind] ?? 0) + 1;
            },
          });
    const clients = Array.from({ length: options.clients }, (_, number) =>
      runClient({
        choices: createChoices(seed, number),
        replicas,
        subjects: groups.flat(),
        watched,
        signal: over.signal,
        onCheck: (check) => {
          checks.push(check);
          watched.seen(check);
        },
      }),
    );
    const changers = groups.map((subjects, number) =>
      runChanger({
        choices: createChoices(seed, 1000 + number),
        changes: Math.ceil(options.changes / CHANGERS),
        replicas: asked,
        subjects,
        watched,
        adminToken: env.TOLLGATE_ADMIN_TOKEN,
        onBan: (ban) => bans.push(ban),
      }),
    );
    await Promise.all([Promise.all(changers).finally(() => calm.abort()), storm]);
    over.abort();
    await Promise.all(clients);
    return { checks, bans, faults, violations: findViolations(checks, bans) };
  } finally {
    over.abort();
    await Promise.all(replicas.map((replica) => replica.stop()));
    await Promise.all([redis.stop(), postgres.stop()]);
  }
}

/** What has just been taken: asked about more often than the rest, and given back once it was. */
interface Watched {
  readonly subjects: readonly Subject[];
  /** Until so many checks of it were answered that began after now. */
  until(subject: Subject, credential: string): Promise<void>;
  seen(check: CheckSeen): void;
}

function createWatched(): Watched {
  const waits = new Map<Subject, { credential: string; sinceMs: number; seen: number; done: () => void }>();
  return {
    get subjects() {
      return [...waits.keys()];
    },
    until(subject, credential) {
      return new Promise((resolve) => {
        const done = (): void => {
          waits.delete(subject);
          resolve();
        };
        waits.set(subject, { credential, sinceMs: performance.now(), seen: 0, done });
      });
    },
    seen({ credentials, sentMs }) {
      for (const wait of waits.values()) {
        if (!credentials.includes(wait.credential) || sentMs <= wait.sinceMs) continue;
        wait.seen++;
        if (wait.seen >= CHECKS_OF_BAN) wait.done();
      }
    },
  };
}

async function runClient(of: {
  choices: Choices;
  replicas: readonly Replica[];
  subjects: readonly Subject[];
  watched: Watched;
  signal: AbortSignal;
  onCheck: (check: CheckSeen) => void;
}): Promise<void> {
  const { choices, replicas, watched, signal, onCheck } = of;
  const pending = new Set<Promise<void>>();
  while (!signal.aborted) {
    const replica = choices.oneOf(replicas);
    const hot = watched.subjects;
    const subject = hot.length > 0 && choices.chance(0.8) ? choices.oneOf(hot) : choices.oneOf(of.subjects);
    if (replica.state === "down" || (replica.state === "stopped" && pending.size >= MOST_PENDING)) {
      await delay(1);
      continue;
    }
    const asked = ask(replica, subject).then(onCheck);
    pending.add(asked);
    void asked.finally(() => pending.delete(asked));
    // One that is frozen answers when it goes on: what was sent to it meanwhile is what is of interest.
    if (replica.state === "up") await Promise.race([asked, delay(50)]);
    else await delay(10);
  }
  await Promise.all(pending);
}

const reasonNames = new Map<number, string>(Object.entries(DenyReason).map(([name, value]) => [value, name]));

async function ask({ client, name }: Replica, { secret, token }: Subject): Promise<CheckSeen> {
  const sentMs = performance.now();
  let allowed = false;
  let reason: string;
  try {
    const result = await client.check(
      {
        api: "revocation",
        key: secret,
        target: { case: "permission", value: "items.read" },
        mode: Mode.PEEK,
      },
      { timeoutMs: LONGEST_CALL_MS, headers: { authorization: `Bearer ${token}` } },
    );
    allowed = result.allowed;
    reason = reasonNames.get(result.reason) ?? String(result.reason);
  } catch (error) {
    reason = Code[ConnectError.from(error).code];
  }
  return {
    sentMs,
    answeredMs: performance.now(),
    process: name,
    credentials: [secret, token],
    allowed,
    reason,
  };
}

async function runChanger(of: {
  choices: Choices;
  changes: number;
  replicas: readonly Replica[];
  subjects: readonly Subject[];
  watched: Watched;
  adminToken: string;
  onBan: (ban: Ban) => void;
}): Promise<void> {
  const { choices, replicas, subjects, watched, adminToken, onBan } = of;
  const offset = choices.below(changeKinds.length);

  /** Asks one replica after another until one has done it. */
  async function persist(
    work: (call: ReturnType<typeof createJsonApi>) => Promise<unknown>,
  ): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      const replica = choices.oneOf(replicas.filter(({ state }) => state === "up"));
      if (replica === undefined) {
        await delay(5);
        continue;
      }
      try {
        await work(createJsonApi(replica.url, adminToken));
        return attempt;
      } catch (error) {
        if (attempt >= 200) throw error;
        await delay(5);
      }
    }
  }

  for (let change = 0; change < of.changes; change++) {
    const kind = changeKinds[(offset + change) % changeKinds.length] as ChangeKind;
    const subject = choices.oneOf(subjects);
    const taking = takingOf(kind, subject);
    const startMs = performance.now();
    const attempts = await persist(taking.take);
    const tookMs = performance.now() - startMs;
    // What comes into force by itself does so by another clock than this one.
    await until(() => taking.effectiveMs === undefined || Date.now() > taking.effectiveMs + 5);
    const ban: Ban = {
      kind,
      credential: taking.credential,
      fromMs: performance.now(),
      untilMs: Number.POSITIVE_INFINITY,
      tookMs,
      attempts,
    };
    onBan(ban);
    if (kind !== "RotateKey") await watched.until(subject, taking.credential);
    const givesBackMs = performance.now();
    if (givesBack(kind)) ban.untilMs = givesBackMs;
    await persist(taking.giveBack);
  }
}

/** Otherwise a new key or token takes its place, and the old one stays of no use. */
function givesBack(kind: ChangeKind): boolean {
  return !["RevokeKey", "RotateKey", "DeleteWorkspace", "RevokeCallerToken"].includes(kind);
}
