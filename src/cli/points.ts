import type { AddCommand } from "./context.ts";
import { addPointsGrant } from "./points-grant.ts";
import { addPointsReset } from "./points-reset.ts";
import { addPointsShow } from "./points-show.ts";

export const addPoints: AddCommand = (parent, context) => {
  const group = parent.command("points").description("the points that a key's requests have left");
  addPointsShow(group, context);
  addPointsReset(group, context);
  addPointsGrant(group, context);
};
