import type { ServiceImpl } from "@connectrpc/connect";
import type { CallerTokens } from "../core/caller-tokens.ts";
import type { CallerService } from "../gen/tollgate/v1/caller_service_pb.ts";
import { authenticatedCall } from "./call.ts";
import { callerTokenMessage, grantNames } from "./caller-token-message.ts";
import { timeMs } from "./time-message.ts";

export function createCallerService(callerTokens: CallerTokens): ServiceImpl<typeof CallerService> {
  return {
    async createCallerToken(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const { token, secret } = await callerTokens.create(
        {
          name: request.name,
          grants: grantNames(request.grants),
          apis: request.apis,
          expireTimeMs: timeMs(request.expireTime, "expire_time"),
        },
        caller,
        deadline,
      );
      return { callerToken: callerTokenMessage(token), secret };
    },

    async listCallerTokens({ pageSize, pageToken }, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const page = await callerTokens.list({ pageSize, pageToken }, caller, deadline);
      return { callerTokens: page.tokens.map(callerTokenMessage), nextPageToken: page.nextPageToken };
    },

    async revokeCallerToken({ callerTokenId }, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const token = await callerTokens.revoke(callerTokenId, caller, deadline);
      return { callerToken: callerTokenMessage(token) };
    },
  };
}
