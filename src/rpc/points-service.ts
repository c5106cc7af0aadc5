import type { ServiceImpl } from "@connectrpc/connect";
import { invalidField } from "../core/errors.ts";
import type { Points, PointsSubject, ShownPoints } from "../core/points.ts";
import type {
  PointsService,
  PointsSubject as PointsSubjectMessage,
} from "../gen/tollgate/v1/points_service_pb.ts";
import { authenticatedCall } from "./call.ts";
import { pointsMessage } from "./decision-message.ts";

export function createPointsService(points: Points): ServiceImpl<typeof PointsService> {
  return {
    async showPoints(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      return shown(await points.show(subjectOf(request), caller, deadline));
    },

    async resetPoints(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const { reason, actorUserId } = request;
      return shown(await points.reset({ ...subjectOf(request), reason, actorUserId }, caller, deadline));
    },

    async grantPoints(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const { reason, actorUserId, requestId } = request;
      const granted = await points.grant(
        { ...subjectOf(request), reason, actorUserId, points: request.points, requestId },
        caller,
        deadline,
      );
      const given = granted.given.map((each, index) => ({
        limitName: granted.limits[index]?.limitName ?? "",
        points: each,
      }));
      return { ...shown(granted), given };
    },
  };
}

function subjectOf(request: {
  subject?: PointsSubjectMessage | undefined;
  limitName: string;
}): PointsSubject {
  const { subject, limitName } = request;
  switch (subject?.key.case) {
    case "secret":
      return { key: { secret: subject.key.value }, workspaceId: subject.workspaceId, limitName };
    case "keyId":
      return { key: { keyId: subject.key.value }, workspaceId: subject.workspaceId, limitName };
    case undefined:
      throw invalidField("subject.key", "name a secret or a key_id");
  }
}

function shown({ api, keyId, workspaceId, limits }: ShownPoints) {
  return { api, keyId, workspaceId, limits: limits.map(pointsMessage) };
}
