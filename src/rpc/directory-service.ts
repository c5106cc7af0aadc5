import type { ServiceImpl } from "@connectrpc/connect";
import type { Directory } from "../core/directory.ts";
import { invalidField } from "../core/errors.ts";
import type { DirectoryService } from "../gen/tollgate/v1/directory_service_pb.ts";
import { authenticatedCall } from "./call.ts";
import { memberChange, memberMessage } from "./member-message.ts";
import { workspaceChange, workspaceMessage } from "./workspace-message.ts";

export function createDirectoryService(directory: Directory): ServiceImpl<typeof DirectoryService> {
  return {
    async putWorkspace({ workspace, updateMask, sourceVersion }, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      if (workspace === undefined) throw invalidField("workspace", "is required");
      const record = await directory.putWorkspace(
        {
          directory: workspace.directory,
          workspaceId: workspace.id,
          ...workspaceChange(workspace, updateMask),
          sourceVersion,
        },
        caller,
        deadline,
      );
      return { workspace: workspaceMessage(record) };
    },

    async getWorkspace(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const record = await directory.getWorkspace(
        { directory: request.directory, workspaceId: request.workspaceId },
        caller,
        deadline,
      );
      return { workspace: workspaceMessage(record) };
    },

    async listWorkspaces(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const page = await directory.listWorkspaces(
        { directory: request.directory, pageSize: request.pageSize, pageToken: request.pageToken },
        caller,
        deadline,
      );
      return { workspaces: page.workspaces.map(workspaceMessage), nextPageToken: page.nextPageToken };
    },

    async deleteWorkspace(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      await directory.deleteWorkspace(
        { directory: request.directory, workspaceId: request.workspaceId },
        caller,
        deadline,
      );
      return {};
    },

    async putMember({ member, updateMask, sourceVersion }, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      if (member === undefined) throw invalidField("member", "is required");
      const record = await directory.putMember(
        {
          directory: member.directory,
          workspaceId: member.workspaceId,
          userId: member.userId,
          ...memberChange(member, updateMask),
          sourceVersion,
        },
        caller,
        deadline,
      );
      return { member: memberMessage(record) };
    },

    async getMember(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const record = await directory.getMember(
        { directory: request.directory, workspaceId: request.workspaceId, userId: request.userId },
        caller,
        deadline,
      );
      return { member: memberMessage(record) };
    },

    async listMembers(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const page = await directory.listMembers(
        {
          directory: request.directory,
          workspaceId: request.workspaceId,
          pageSize: request.pageSize,
          pageToken: request.pageToken,
        },
        caller,
        deadline,
      );
      return { members: page.members.map(memberMessage), nextPageToken: page.nextPageToken };
    },

    async removeMember(request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      await directory.removeMember(
        {
          directory: request.directory,
          workspaceId: request.workspaceId,
          userId: request.userId,
          sourceVersion: request.sourceVersion,
        },
        caller,
        deadline,
      );
      return {};
    },
  };
}
