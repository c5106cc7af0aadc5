import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type {
  CheckRequestSchema,
  CheckResponse,
} from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { DegradedCause, DenyReason, Mode } from "../../src/gen/tollgate/v1/decision_pb.ts";
import type { Answer, Decision } from "./history.ts";
import type { AskedServer } from "./servers.ts";
import type { Subject } from "./subjects.ts";

/** One question about points. */
export interface Question {
  readonly subject: Subject;
  readonly cost: number;
  readonly mode: Decision["mode"];
  readonly requestId: string;
}

/** A call without an answer ends then; no call should. */
export const LONGEST_ANSWER_MS = 10_000;

/** Asks the questions in one call, a Check where there is one. An error of the call is an answer to each. */
export async function ask(server: AskedServer, questions: readonly Question[]): Promise<Decision[]> {
  const process = server.name;
  const checks = questions.map(checkOf);
  const sentMs = performance.now();
  const results = await call(server, checks);
  const answeredMs = performance.now();
  return questions.map(({ subject: { buckets }, cost, mode, requestId }, index) => ({
    sentMs,
    answeredMs,
    process,
    buckets,
    cost,
    mode,
    requestId,
    answer: answerOf(results instanceof ConnectError ? results : (results[index] as CheckResponse)),
  }));
}

type Check = MessageInitShape<typeof CheckRequestSchema>;

async function call(
  { client }: AskedServer,
  checks: readonly Check[],
): Promise<readonly CheckResponse[] | ConnectError> {
  const options = { timeoutMs: LONGEST_ANSWER_MS };
  const [first] = checks;
  try {
    if (first !== undefined && checks.length === 1) return [await client.check(first, options)];
    return (await client.batchCheck({ checks: [...checks] }, options)).results;
  } catch (error) {
    return ConnectError.from(error);
  }
}

function checkOf({ subject, cost, mode, requestId }: Question): Check {
  return {
    api: subject.api,
    key: subject.secret,
    target: { case: "permission", value: "use" },
    points: cost,
    requestId,
    mode: mode === "peek" ? Mode.PEEK : Mode.ENFORCE,
  };
}

function answerOf(result: CheckResponse | ConnectError): Answer {
  if (result instanceof ConnectError) {
    if (faultCodes.has(result.code)) return { kind: "undecided", why: `error ${Code[result.code]}` };
    throw result;
  }
  const { allowed, reason, degraded, limits } = result;
  if (reason === DenyReason.STORE_UNAVAILABLE) return { kind: "undecided", why: "store unavailable" };
  const outcome = allowed ? "admitted" : refusals.get(reason);
  if (outcome === undefined) throw new Error(`refused for ${reason}, which has nothing to do with points`);
  return {
    kind: "decided",
    by: degraded.includes(DegradedCause.POINTS_LOCAL) ? "local" : "store",
    outcome,
    states: limits.map(({ limitName, remaining, blockedMs }) => ({ limit: limitName, remaining, blockedMs })),
  };
}

/** What faults may bring; others are mistakes in what is asked. */
const faultCodes: ReadonlySet<Code> = new Set([
  Code.Canceled,
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Aborted,
  Code.Internal,
  Code.Unavailable,
]);

const refusals: ReadonlyMap<DenyReason, "exceeded" | "blocked"> = new Map([
  [DenyReason.POINTS_EXCEEDED, "exceeded"],
  [DenyReason.BLOCKED, "blocked"],
]);
