import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Authorizer } from "../core/authorizer.ts";
import type { CheckInput, ConsumeInput, Decision } from "../core/decision.ts";
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
  decideCheck(input: CheckInput, call: AuthenticatedCall): Promise<Decision>;
  decideConsume(input: ConsumeInput, call: AuthenticatedCall): Promise<Decision>;
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
  async function decideCheck(input: CheckInput, call: AuthenticatedCall): Promise<Decision> {
    const decision = await authorizer.check(input, call.caller, call.deadline, call);
    onDecision(decision);
    return decision;
  }

  async function decideConsume(input: ConsumeInput, call: AuthenticatedCall): Promise<Decision> {
    const decision = await authorizer.consume(input, call.caller, call.deadline, call);
    onDecision(decision);
    return decision;
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
      const outcomes = await settledInSlices(inputs, (input) =>
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
  work: (input: Input) => Result | Promise<Result>,
): Promise<PromiseSettledResult<Awaited<Result>>[]> {
  const slices: Promise<PromiseSettledResult<Awaited<Result>>[]>[] = [];
  for (let start = 0; start < inputs.length; start += SLICE) {
    if (inputs.length > SLICE) await nextTurn();
    slices.push(Promise.allSettled(inputs.slice(start, start + SLICE).map(work)));
  }
  return (await Promise.all(slices)).flat();
}
