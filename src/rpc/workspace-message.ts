import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import type { WorkspaceFields } from "../core/ports.ts";
import type { WorkspaceRecord } from "../core/records.ts";
import type { Workspace, WorkspaceSchema } from "../gen/tollgate/v1/directory_pb.ts";
import { fieldsOfMask } from "./field-mask.ts";

export function workspaceMessage(workspace: WorkspaceRecord): MessageInitShape<typeof WorkspaceSchema> {
  return {
    directory: workspace.directory,
    id: workspace.id,
    name: workspace.name,
    plan: workspace.plan,
    features: [...workspace.features],
    withheldScopes: [...workspace.withheldScopes],
    suspended: workspace.suspended,
  };
}

/** What a PutWorkspaceRequest sets: with a mask the named fields, else all. */
export function workspaceChange(
  workspace: Workspace,
  mask: FieldMask | undefined,
): { fields: Partial<WorkspaceFields>; replace: boolean } {
  const named = fieldsOfMask(mask, ["name", "plan", "features", "withheld_scopes", "suspended"]);
  const { name, plan, features, withheldScopes, suspended } = workspace;
  if (named.size === 0) return { fields: { name, plan, features, withheldScopes, suspended }, replace: true };
  return {
    fields: {
      ...(named.has("name") ? { name } : {}),
      ...(named.has("plan") ? { plan } : {}),
      ...(named.has("features") ? { features } : {}),
      ...(named.has("withheld_scopes") ? { withheldScopes } : {}),
      ...(named.has("suspended") ? { suspended } : {}),
    },
    replace: false,
  };
}
