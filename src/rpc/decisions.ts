import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Authorizer } from "../core/authorizer.ts";
import type { CheckInput, ConsumeInput, Decision } from "../core/decision.ts";
import type { MaybePromise } from "../core/ports.ts";
import type {
  BatchCheckRequest,
  BatchCheckResponseSchema,
  CheckRequest,
  CheckResponseSchema,
  ConsumePointsRequest,
  ConsumePointsResponseSchema,
} from "../gen/tollgate/v1/authorization_service_pb.ts";
import type { AuthenticatedCall } from "./call.ts";
import { checkInput, checkResponse, consumeInput, consumePointsResponse } from "./decision-message.ts";
import { withinField } from "./errors.ts";

export interface DecisionsDependencies {
  readonly authorizer: Authorizer;
  /** Told of every decision, for the metrics. */
  readonly onDecision: (decision: Decision) => void;
}

/** The calls that decide, for every way in. */
export interface Decisions {
  decideCheck(input: CheckInput, call: AuthenticatedCall): MaybePromise<Decision>;
  decideConsume(input: ConsumeInput, call: AuthenticatedCall): MaybePromise<Decision>;
  check(
    request: CheckRequest,
    call: AuthenticatedCall,
  ): Promise<MessageInitShape<typeof CheckResponseSchema>>;
  batchCheck(
    request: BatchCheckRequest,
    call: AuthenticatedCall,
  ): Promise<MessageInitShape<typeof BatchCheckResponseSchema>>;
  consumePoints(
    request: ConsumePointsRequest,
    call: AuthenticatedCall,
  ): Promise<MessageInitShape<typeof ConsumePointsResponseSchema>>;
}

/** Checks of a batch that are begun in one turn of the event loop: about a millisecond, which others wait. */
const SLICE = 20;

export function createDecisions({ authorizer, onDecision }: DecisionsDependencies): Decisions {
  function tell(decision: Decision): Decision {
    onDecision(decision);
    return decision;
  }

  function decideCheck(input: CheckInput, call: AuthenticatedCall): MaybePromise<Decision> {
    const decided = authorizer.check(input, call.caller, call.deadline, call);
    return decided instanceof Promise ? decided.then(tell) : tell(decided);
  }

  function decideConsume(input: ConsumeInput, call: AuthenticatedCall): MaybePromise<Decision> {
    const decided = authorizer.consume(input, call.caller, call.deadline, call);
    return decided instanceof Promise ? decided.then(tell) : tell(decided);
  }

  return {
    decideCheck,
    decideConsume,

    check: async (request, call) => checkResponse(await decideCheck(checkInput(request), call)),

    /**
     * Many at once, so that they share round trips to the stores; and none before each is known to
     * be free of the caller's own mistakes, so that no charge is lost in an error.
     */
    async batchCheck(request, call) {
      const { caller, deadline } = call;
      const inputs = request.checks.map(checkInput);
      for (const [index, input] of inputs.entries()) {
        try {
          authorizer.verify(input, caller);
        } catch (error) {
          throw withinField(error, `checks[${index}]`);
        }
      }
      const outcomes = await settledInSlices(inputs, async (input) =>
        authorizer.check(input, caller, deadline, call),
      );
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") onDecision(outcome.value);
      }
      return {
        results: outcomes.map((outcome, index) => {
          if (outcome.status === "rejected") throw withinField(outcome.reason, `checks[${index}]`);
          return checkResponse(outcome.value);
        }),
      };
    },

    consumePoints: async (request, call) =>
      consumePointsResponse(await decideConsume(consumeInput(request), call)),
  };
}

let lastTurn: Promise<unknown> = Promise.resolve();

/** The slices of all batches take turns: a flood of batches leaves room for others in every turn. */
function nextTurn(): Promise<unknown> {
  lastTurn = lastTurn.then(() => new Promise((resolve) => setImmediate(resolve)));
  return lastTurn;
}

async function settledInSlices<Input, Result>(
  inputs: readonly Input[],
  work: (input: Input) => Promise<Result>,
): Promise<PromiseSettledResult<Result>[]> {
  const slices: Promise<PromiseSettledResult<Result>[]>[] = [];
  for (let start = 0; start < inputs.length; start += SLICE) {
    if (inputs.length > SLICE) await nextTurn();
    slices.push(Promise.allSettled(inputs.slice(start, start + SLICE).map(work)));
  }
  return (await Promise.all(slices)).flat();
}
