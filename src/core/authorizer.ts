import { type Caller, requireApi } from "./callers.ts";
import type { CheckInput, ConsumeInput, Decision } from "./decision.ts";
import {
  costOf,
  type DecisionDependencies,
  DecisionRun,
  type Environment,
  permissionNamed,
} from "./decision-run.ts";
import type { Policy } from "./policy.ts";
import { type PolicySet, policyByHost, policyByName } from "./policy-set.ts";
import type { Deadline, MaybePromise, RightsSource, Waiter } from "./ports.ts";
import type { KeyRecord } from "./records.ts";

/**
 * Decides requests. A denial is a value; what is thrown at once, or rejected with (TollgateError), could not be
 * decided.
 */
export interface Authorizer {
  /**
   * Throws what is the caller's own mistake in a check, as far as that can be told without a store: so that
   * of several checks none is charged before all can be decided.
   */
  verify(input: CheckInput, caller: Caller): void;
  check(input: CheckInput, caller: Caller, deadline: Deadline, waiter?: Waiter): MaybePromise<Decision>;
  /** Charges a live key's limits; rights are not asked. */
  consume(input: ConsumeInput, caller: Caller, deadline: Deadline, waiter?: Waiter): MaybePromise<Decision>;
}

export interface AuthorizerDependencies extends DecisionDependencies {
  /** Asked once a decision: it keeps the policies that it began with. */
  readonly policies: () => PolicySet;
}

export function createAuthorizer(dependencies: AuthorizerDependencies): Authorizer {
  return {
    verify(input, caller) {
      const { policy } = policyOfRequest(dependencies.policies(), input);
      requireApi(caller, policy.api);
      if (!("permission" in input.target)) return;
      const permission = permissionNamed(policy, input.target.permission);
      if (input.points === undefined) costOf(permission);
    },

    check(input, caller, deadline, waiter) {
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
        waiter,
      });
      return run.check(input);
    },

    consume(input, caller, deadline, waiter) {
      const set = dependencies.policies();
      const consumeBy = (policy: Policy): MaybePromise<Decision> => {
        requireApi(caller, policy.api);
        const run = new DecisionRun(dependencies, {
          set,
          policy,
          environment: "any",
          caller,
          requestId: input.requestId,
          mode: input.mode,
          explain: false,
          deadline,
          waiter,
        });
        return run.consume(input);
      };
      const policy = policyOfSubject(set, { input, caller, rights: dependencies.rights, deadline });
      return policy instanceof Promise ? policy.then(consumeBy) : consumeBy(policy);
    },
  };
}

interface RequestPolicy {
  readonly policy: Policy;
  readonly environment: Environment;
}

function policyOfRequest(set: PolicySet, input: CheckInput): RequestPolicy {
  const host = "http" in input.target ? input.target.http.host : "";
  const byHost = host === "" ? undefined : policyByHost(set, host);
  if (byHost !== undefined && (input.api === "" || input.api === byHost.policy.api)) {
    return {
      policy: byHost.policy,
      environment: byHost.environment === "" ? "any" : { name: byHost.environment },
    };
  }
  const policy = policyByName(set, input.api);
  // Where hosts stand for environments, a host that is none of them is for no key: else any key would be
  // valid in every environment, by a Host header of the client's own.
  const isStrange = host !== "" && policy.hosts.some((rule) => rule.environment !== "");
  return { policy, environment: isStrange ? "none" : "any" };
}

function policyOfSubject(
  set: PolicySet,
  options: { input: ConsumeInput; caller: Caller; rights: RightsSource; deadline: Deadline },
): MaybePromise<Policy> {
  const { input, caller, rights, deadline } = options;
  if (input.api !== "" || !("keyId" in input.subject)) return policyOfCaller(set, input, caller);
  const policyOf = (key: KeyRecord | undefined): Policy =>
    // To a caller of other apis it does not exist.
    key !== undefined && (caller.apis.size === 0 || caller.apis.has(key.api))
      ? policyByName(set, key.api)
      : policyOfCaller(set, input, caller);
  const found = rights.keyById(input.subject.keyId, deadline);
  return found instanceof Promise ? found.then(policyOf) : policyOf(found);
}

function policyOfCaller(set: PolicySet, input: ConsumeInput, caller: Caller): Policy {
  const [only, ...others] = caller.apis;
  return policyByName(set, input.api === "" && only !== undefined && others.length === 0 ? only : input.api);
}
