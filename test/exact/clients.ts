import { ask, type Question } from "./asking.ts";
import { type Choices, createChoices } from "./choices.ts";
import type { Decision } from "./history.ts";
import type { AskedServer } from "./servers.ts";
import type { Subject } from "./subjects.ts";

export interface ClientOptions {
  readonly seed: number;
  /** Its number: its choices are its own. */
  readonly number: number;
  /** It asks at least so many questions; repeats come on top. */
  readonly questions: number;
  /** Between two calls it waits from 0 to below that. */
  readonly pauseMs: number;
  readonly servers: readonly AskedServer[];
  readonly subjects: readonly Subject[];
  readonly onDecisions: (decisions: readonly Decision[]) => void;
}

/** One call, chosen before anything is known of how it ends. */
interface Plan {
  readonly questions: readonly Question[];
  readonly server: number;
  /** Sent to another server at the same time. */
  readonly isTwin: boolean;
  /** Repeated elsewhere, also when it was answered. */
  readonly isRepeated: boolean;
  readonly pauseMs: number;
}

/** Errors are asked again, elsewhere, so often, where a request_id makes that safe. */
const RETRIES = 2;

/** Asks its questions one call after another, each as its seed says. Throws what is no answer of a service. */
export async function runClient(options: ClientOptions): Promise<void> {
  const choices = createChoices(options.seed, options.number);
  let asked = 0;
  for (let call = 0; asked < options.questions; call++) {
    const plan = choosePlan(choices, { ...options, callName: `${options.number}-${call}` });
    asked += plan.questions.length;
    await carryOut(plan, options);
    await new Promise((resolve) => setTimeout(resolve, plan.pauseMs));
  }
}

async function carryOut(plan: Plan, { servers, onDecisions }: ClientOptions): Promise<void> {
  const askOne = async (server: number, questions: readonly Question[]): Promise<readonly Decision[]> => {
    const decisions = await ask(upAt(servers, server), questions);
    onDecisions(decisions);
    return decisions;
  };
  const repeatable = plan.questions.filter(({ requestId }) => requestId !== "");
  const [first] = await Promise.all([
    askOne(plan.server, plan.questions),
    ...(plan.isTwin && repeatable.length > 0 ? [askOne(plan.server + 1, repeatable)] : []),
  ]);
  let again = plan.isRepeated ? repeatable : unanswered(plan.questions, first);
  for (let retry = 1; retry <= RETRIES && again.length > 0; retry++) {
    again = unanswered(again, await askOne(plan.server + retry, again));
  }
}

function unanswered(questions: readonly Question[], decisions: readonly Decision[]): Question[] {
  return questions.filter(
    ({ requestId }, index) => requestId !== "" && decisions[index]?.answer.kind === "undecided",
  );
}

/** The server of that number, or the next one that is not being started again just now. */
function upAt(servers: readonly AskedServer[], number: number): AskedServer {
  const order = servers.map((_, index) => servers[(number + index) % servers.length] as AskedServer);
  return order.find(({ isUp }) => isUp) ?? (order[0] as AskedServer);
}

function choosePlan(choices: Choices, options: ClientOptions & { callName: string }): Plan {
  const size = choices.chance(0.3) ? 1 : 2 + choices.below(15);
  const questions = Array.from({ length: size }, (_, index): Question => {
    const subject = choices.oneOf(options.subjects);
    const cost = choices.oneOf([1, 1, 1, 1, 2, 3, 5, 0]);
    const mode = choices.chance(0.1) ? "peek" : "enforce";
    const hasId = choices.chance(0.4);
    return { subject, cost, mode, requestId: hasId ? `${options.callName}-${index}` : "" };
  });
  return {
    questions,
    server: choices.below(options.servers.length),
    isTwin: choices.chance(0.03),
    isRepeated: choices.chance(0.1),
    pauseMs: choices.below(options.pauseMs),
  };
}
