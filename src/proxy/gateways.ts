import type { AddressRange } from "../core/address-range.ts";
import type { Authorizer } from "../core/authorizer.ts";
import type { Decision } from "../core/decision.ts";
import type { PolicySet } from "../core/policy-set.ts";
import type { RateLimitDecision, RateLimits } from "../core/rate-limits.ts";
import { createExtAuthz, type ExtAuthz } from "./ext-authz.ts";
import {
  createForwardAuth,
  FORWARD_AUTH_PATH,
  FORWARD_AUTH_TOKEN_HEADER,
  type ForwardAuth,
} from "./forward-auth.ts";
import { createGatewayCheck } from "./gateway-check.ts";
import type { RateLimitFields } from "./rate-limit-headers.ts";
import { createRateLimitService, type RateLimitService } from "./rate-limit-service.ts";
import { createUndecidedLog, type UndecidedLogOptions } from "./undecided-log.ts";

export interface GatewaysDependencies extends UndecidedLogOptions {
  readonly authorizer: Pick<Authorizer, "check">;
  readonly policies: () => PolicySet;
  readonly rateLimits: RateLimits;
  readonly onDecision: (decision: Decision) => void;
  readonly onRateLimitDecision: (decision: RateLimitDecision) => void;
  readonly rateLimitFields: RateLimitFields;
  readonly trustedProxies: readonly AddressRange[];
}

/** Everything that gateways ask, over one core. */
export function createGateways(dependencies: GatewaysDependencies): {
  readonly extAuthz: ExtAuthz;
  readonly rateLimit: RateLimitService;
  readonly forwardAuth: ForwardAuth & { readonly path: string; readonly tokenHeader: string };
} {
  const onUndecided = createUndecidedLog(dependencies);
  const check = createGatewayCheck({ ...dependencies, onUndecided });
  return {
    extAuthz: createExtAuthz({ check, onUndecided }),
    rateLimit: createRateLimitService({
      ...dependencies,
      onDecision: dependencies.onRateLimitDecision,
      onUndecided,
    }),
    forwardAuth: {
      path: FORWARD_AUTH_PATH,
      tokenHeader: FORWARD_AUTH_TOKEN_HEADER,
      ...createForwardAuth({ check, trusted: dependencies.trustedProxies, onUndecided }),
    },
  };
}
