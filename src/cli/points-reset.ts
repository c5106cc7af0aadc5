import type { Command } from "commander";
import { ResetPointsResponseSchema } from "../gen/tollgate/v1/points_service_pb.ts";
import type { AddCommand } from "./context.ts";
import { type OrderOptions, pointsLines, subjectOf, withOrder } from "./points-subject.ts";
import { messageJson, openSession } from "./session.ts";

export const addPointsReset: AddCommand = (group, { terminal }) => {
  withOrder(group.command("reset [key-id]"))
    .description("give all points back and end the blocks, also for others who share the limit")
    .action(async (id: string | undefined, options: OrderOptions, command: Command) => {
      const subject = await subjectOf(id, options, terminal);
      const session = openSession(command, terminal);
      const { limit, reason, actor } = options;
      const answer = await session.points.resetPoints({
        subject,
        limitName: limit,
        reason,
        actorUserId: actor,
      });
      terminal.print(session.asJson ? messageJson(ResetPointsResponseSchema, answer) : pointsLines(answer));
    });
};
