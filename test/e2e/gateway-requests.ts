import { type RawAnswer, type RawRequest, sendRaw } from "../support/gateway-client.ts";
import type { GatewayWorld } from "../support/gateway-world.ts";

type More = Omit<RawRequest, "line">;

/** Requests to the gateway that has the example as it is. */
export function gatewayRequests(world: () => GatewayWorld) {
  const bearer = (secret: string) => `Authorization: Bearer ${secret}`;
  const retool = (line: string, more: More = {}): Promise<RawAnswer> =>
    sendRaw(world().retool, { line, ...more });
  return {
    bearer,
    retool,
    /** With the key that may read users. */
    withKey: (line: string, more: More = {}): Promise<RawAnswer> =>
      retool(line, { ...more, headers: [bearer(world().users.secret), ...(more.headers ?? [])] }),
  };
}
