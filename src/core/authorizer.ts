import { type Caller, requireApi } from "./callers.ts";
import type { CheckInput, ConsumeInput, Decision } from "./decision.ts";
import { type DecisionDependencies, DecisionRun } from "./decision-run.ts";
import type { Policy } from "./policy.ts";
import { type PolicySet, policyByHost, policyByName } from "./policy-set.ts";
import type { Deadline, RightsSource } from "./ports.ts";

/** Decides requests. A denial is a value; what is thrown (TollgateError) could not be decided. */
export interface Authorizer {
  check(input: CheckInput, caller: Caller, deadline: Deadline): Promise<Decision>;
  /** Charges a live key's limits; rights are not asked. */
  consume(input: ConsumeInput, caller: Caller, deadline: Deadline): Promise<Decision>;
}

export interface AuthorizerDependencies extends DecisionDependencies {
  /** Asked once a decision: it keeps the policies that it began with. */
  readonly policies: () => PolicySet;
}

export function createAuthorizer(dependencies: AuthorizerDependencies): Authorizer {
  return {
    async check(input, caller, deadline) {
      const set = dependencies.policies();
      const { policy, environment } = policyOfRequest(set, input);
      requireApi(caller, policy.api);
      const run = new DecisionRun(dependencies, {
        set,
        policy,
        environment,
        caller,
        requestId: input.requestId,
        mode: input.mode,
        explain: input.explain,
        deadline,
      });
      return run.finish(await run.check(input));
    },

    async consume(input, caller, deadline) {
      const set = dependencies.policies();
      const policy = await policyOfSubject(set, { input, rights: dependencies.rights, deadline });
      requireApi(caller, policy.api);
      const run = new DecisionRun(dependencies, {
        set,
        policy,
        environment: "",
        caller,
        requestId: input.requestId,
        mode: input.mode,
        explain: false,
        deadline,
      });
      return run.finish(await run.consume(input));
    },
  };
}

function policyOfRequest(set: PolicySet, input: CheckInput): { policy: Policy; environment: string } {
  const host = "http" in input.target ? input.target.http.host : "";
  const byHost = host === "" ? undefined : policyByHost(set, host);
  if (input.api === "") return byHost ?? { policy: policyByName(set, ""), environment: "" };
  const policy = policyByName(set, input.api);
  if (byHost?.policy === policy) return byHost;
  // Another api's host, or an unknown one: the caller's word for the api holds, of any environment.
  return { policy, environment: "" };
}

async function policyOfSubject(
  set: PolicySet,
  options: { input: ConsumeInput; rights: RightsSource; deadline: Deadline },
): Promise<Policy> {
  const { input, rights, deadline } = options;
  if (input.api === "" && "keyId" in input.subject) {
    const key = await rights.keyById(input.subject.keyId, deadline);
    if (key !== undefined) return policyByName(set, key.api);
  }
  return policyByName(set, input.api);
}
