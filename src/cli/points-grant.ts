import type { Command } from "commander";
import { GrantPointsResponseSchema } from "../gen/tollgate/v1/points_service_pb.ts";
import type { AddCommand } from "./context.ts";
import { toPoints } from "./option-value.ts";
import { type OrderOptions, pointsLines, subjectOf, withOrder } from "./points-subject.ts";
import { messageJson, openSession } from "./session.ts";

interface GrantOptions extends OrderOptions {
  points: number;
  requestId: string;
}

export const addPointsGrant: AddCommand = (group, { terminal }) => {
  withOrder(group.command("grant [key-id]"))
    .description("give some points back: what is spent is lowered, at most to nothing; a block goes on")
    .requiredOption("--points <number>", "how many, of each limit", toPoints)
    .option("--request-id <id>", "makes a repeat safe: the same id gives back once", "")
    .action(async (id: string | undefined, options: GrantOptions, command: Command) => {
      const subject = await subjectOf(id, options, terminal);
      const session = openSession(command, terminal);
      const { limit, reason, actor, points, requestId } = options;
      const answer = await session.points.grantPoints({
        subject,
        limitName: limit,
        reason,
        actorUserId: actor,
        points,
        requestId,
      });
      const given = answer.given.map((each) => each.points);
      terminal.print(
        session.asJson ? messageJson(GrantPointsResponseSchema, answer) : pointsLines(answer, given),
      );
    });
};
