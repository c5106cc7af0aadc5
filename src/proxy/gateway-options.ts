import { TollgateError } from "../core/errors.ts";
import type { GatewayOptions } from "./gateway-request.ts";

const MODES = ["enforce", "peek", "rights"] as const satisfies readonly GatewayOptions["mode"][];

/** `api` and `mode` of a gateway's configuration. Throws INVALID_ARGUMENT, GATEWAY_MISCONFIGURED. */
export function gatewayOptions(given: {
  api?: string | undefined;
  mode?: string | undefined;
}): GatewayOptions {
  return { api: given.api ?? "", mode: oneOf("mode", given.mode, MODES) };
}

/** One of the values, of which the first is the default. Throws INVALID_ARGUMENT, GATEWAY_MISCONFIGURED. */
export function oneOf<Value extends string>(
  name: string,
  given: string | undefined,
  values: readonly [Value, ...Value[]],
): Value {
  if (given === undefined) return values[0];
  const known = values.find((value) => value === given);
  if (known === undefined) throw gatewayMisconfigured(`${name} is one of ${values.join(", ")}`);
  return known;
}

/**
 * Throws INVALID_ARGUMENT, GATEWAY_MISCONFIGURED, for a name that means nothing, or stands twice: a misspelt
 * one would go unseen.
 */
export function requireKnown(given: Iterable<string>, known: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of given) {
    if (seen.has(name)) throw gatewayMisconfigured(`${name} stands twice`);
    seen.add(name);
    if (!known.includes(name)) {
      throw gatewayMisconfigured(
        `there is no ${JSON.stringify(name.slice(0, 64))}; there is ${known.join(", ")}`,
      );
    }
  }
}

/** INVALID_ARGUMENT about the gateway's own configuration. */
export function gatewayMisconfigured(description: string): TollgateError {
  return new TollgateError("invalid_argument", `The gateway's configuration: ${description}.`, {
    reason: "GATEWAY_MISCONFIGURED",
  });
}
