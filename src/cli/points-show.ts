import type { Command } from "commander";
import { ShowPointsResponseSchema } from "../gen/tollgate/v1/points_service_pb.ts";
import type { AddCommand } from "./context.ts";
import { pointsLines, type SubjectOptions, subjectOf, withSubject } from "./points-subject.ts";
import { messageJson, openSession } from "./session.ts";

export const addPointsShow: AddCommand = (group, { terminal }) => {
  withSubject(group.command("show [key-id]"))
    .description("show what is left of each limit; charges nothing")
    .action(async (id: string | undefined, options: SubjectOptions, command: Command) => {
      const subject = await subjectOf(id, options, terminal);
      const session = openSession(command, terminal);
      const answer = await session.points.showPoints({ subject, limitName: options.limit });
      terminal.print(session.asJson ? messageJson(ShowPointsResponseSchema, answer) : pointsLines(answer));
    });
};
