import type { ServiceImpl } from "@connectrpc/connect";
import { invalidField } from "../core/errors.ts";
import type { Keys, RevokeKeyInput } from "../core/keys.ts";
import type { AuthorizationService, RevokeKeyRequest } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { authenticatedCall } from "./call.ts";
import type { Decisions } from "./decisions.ts";
import { keyChanges, keyMessage, keyStatusFilter } from "./key-message.ts";
import { durationMs, timeMs } from "./time-message.ts";

export interface AuthorizationServiceDependencies {
  readonly decisions: Decisions;
  readonly keys: Keys;
  /** Milliseconds since the epoch, for the status that a key is shown with. */
  readonly nowMs: () => number;
}

export function createAuthorizationService(
  dependencies: AuthorizationServiceDependencies,
): ServiceImpl<typeof AuthorizationService> {
  const { decisions, keys, nowMs } = dependencies;

  return {
    check: (request, { values }) => decisions.check(request, authenticatedCall(values)),
    batchCheck: (request, { values }) => decisions.batchCheck(request, authenticatedCall(values)),
    consumePoints: (request, { values }) => decisions.consumePoints(request, authenticatedCall(values)),

    async createKey(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const { key, secret } = await keys.create(
        {
          api: request.api,
          type: request.type,
          workspaceId: request.workspaceId,
          userId: request.userId,
          name: request.name,
          description: request.description,
          scopes: request.scopes,
          expireTimeMs: timeMs(request.expireTime, "expire_time"),
          metadata: request.metadata,
          allowedCidrs: request.allowedCidrs,
          role: request.role,
          requestId: request.requestId,
        },
        caller,
        deadline,
      );
      return { key: keyMessage(key, nowMs()), secret };
    },

    async revokeKey(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const { reason, actorUserId } = request;
      const key = await keys.revoke({ target: targetOf(request), reason, actorUserId }, caller, deadline);
      return { key: keyMessage(key, nowMs()) };
    },

    async revokeKeys({ api, workspaceId, userId, reason, actorUserId }, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const { keyIds, more } = await keys.revokeAll(
        { api, workspaceId, userId, reason, actorUserId },
        caller,
        deadline,
      );
      return { keyIds: [...keyIds], more };
    },

    async rotateKey(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const { keyId, actorUserId, requestId } = request;
      const { key, secret } = await keys.rotate(
        { keyId, overlapMs: durationMs(request.overlap), actorUserId, requestId },
        caller,
        deadline,
      );
      return { key: keyMessage(key, nowMs()), secret };
    },

    async updateKey({ key, updateMask, actorUserId }, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      if (key === undefined || key.id === "") throw invalidField("key.id", "name the key");
      const updated = await keys.update(
        { keyId: key.id, changes: keyChanges(key, updateMask), actorUserId },
        caller,
        deadline,
      );
      return { key: keyMessage(updated, nowMs()) };
    },

    async getKey({ keyId }, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const key = await keys.get(keyId, caller, deadline);
      return { key: keyMessage(key, nowMs()) };
    },

    async listKeys(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const { api, workspaceId, userId, pageSize, pageToken } = request;
      const page = await keys.list(
        { api, workspaceId, userId, status: keyStatusFilter(request.status), pageSize, pageToken },
        caller,
        deadline,
      );
      return {
        keys: page.keys.map((key) => keyMessage(key, nowMs())),
        nextPageToken: page.nextPageToken,
      };
    },
  };
}

function targetOf({ target }: RevokeKeyRequest): RevokeKeyInput["target"] {
  switch (target.case) {
    case "keyId":
      return { keyId: target.value };
    case "key":
      return { key: target.value };
    case undefined:
      throw invalidField("target", "name a key_id or a key");
  }
}
