import type { MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import type { CheckResponse, CreateKeyRequestSchema } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { Mode } from "../gen/tollgate/v1/decision_pb.ts";
import type { MemberSchema, WorkspaceSchema } from "../gen/tollgate/v1/directory_pb.ts";
import type { Key } from "../gen/tollgate/v1/key_pb.ts";
import { reasonName } from "./decision-lines.ts";
import type { Stage } from "./demo-stage.ts";
import { present } from "./listing.ts";
import { parseRequest } from "./request-target.ts";
import type { Session } from "./session.ts";

export interface MadeKey {
  readonly key: Key;
  readonly secret: string;
}

/** What CreateKey answered: a key, or the refusal as the story tells it. */
export type CreateOutcome =
  | { readonly made: MadeKey; readonly got: "created" }
  | { readonly made: undefined; readonly got: string };

export interface CheckExtras {
  readonly mode?: Mode;
  readonly scheme?: string;
}

/** The workspaces, members and keys of one api that the story makes, and takes away at its end. */
export interface World {
  /** The id of a workspace that the story knows by `name`: another one on every run. */
  id(name: string): string;
  putWorkspace(name: string, fields: WorkspaceFields): Promise<void>;
  putMember(workspace: string, userId: string, fields: MemberFields): Promise<void>;
  removeMember(workspace: string, userId: string): Promise<void>;
  tryCreate(workspace: string, userId: string, fields: KeyFields): Promise<CreateOutcome>;
  /** As tryCreate; throws when it is refused. */
  create(workspace: string, userId: string, fields: KeyFields): Promise<MadeKey>;
  /** Checks a request such as "GET /items"; `{name}` in it stands for that workspace's id. An empty secret: none. */
  check(secret: string, request: string, extras?: CheckExtras): Promise<CheckResponse>;
  /** As check, without charging, and as the story tells it. */
  ask(secret: string, request: string, extras?: CheckExtras): Promise<string>;
  cleanUp(): Promise<void>;
}

type WorkspaceFields = Omit<
  Exclude<MessageInitShape<typeof WorkspaceSchema>, { $typeName: string }>,
  "id" | "directory"
>;
type MemberFields = Omit<
  Exclude<MessageInitShape<typeof MemberSchema>, { $typeName: string }>,
  "userId" | "workspaceId" | "directory"
>;
type KeyFields = Omit<
  Exclude<MessageInitShape<typeof CreateKeyRequestSchema>, { $typeName: string }>,
  "api" | "workspaceId" | "userId"
>;

export interface WorldOptions {
  readonly api: string;
  readonly host: string;
  /** Distinguishes this run's workspaces from all others. */
  readonly run: string;
  readonly stage: Stage;
}

export function createWorld(session: Session, options: WorldOptions): World {
  const { api, host, run, stage } = options;
  const directory = api;
  const workspaces = new Set<string>();
  const keyIds: string[] = [];
  const id = (name: string) => `demo-${name}-${run}`;

  const world: World = {
    id,
    async putWorkspace(name, fields) {
      workspaces.add(name);
      await session.directory.putWorkspace({ workspace: { directory, id: id(name), name, ...fields } });
    },
    async putMember(workspace, userId, fields) {
      await session.directory.putMember({
        member: { directory, workspaceId: id(workspace), userId, ...fields },
      });
    },
    async removeMember(workspace, userId) {
      await session.directory.removeMember({ directory, workspaceId: id(workspace), userId });
    },
    async tryCreate(workspace, userId, fields) {
      try {
        const answer = await session.keys.createKey({ api, workspaceId: id(workspace), userId, ...fields });
        const made = { key: present(answer.key), secret: answer.secret };
        keyIds.push(made.key.id);
        stage.aside(`${made.key.id} ${made.key.preview} in ${id(workspace)}`);
        return { made, got: "created" };
      } catch (error) {
        return { made: undefined, got: refusalText(error) };
      }
    },
    async create(workspace, userId, fields) {
      const { made, got } = await world.tryCreate(workspace, userId, fields);
      if (made === undefined) throw new Error(`the story cannot go on: CreateKey was ${got}`);
      return made;
    },
    async check(secret, request, { mode = Mode.ENFORCE, scheme = "https" } = {}) {
      const named = request.replace(/\{(\w+)\}/g, (_, name: string) => id(name));
      const http = present(parseRequest(named));
      return session.keys.check({
        api,
        key: secret,
        mode,
        target: { case: "http", value: { ...http, host, scheme } },
      });
    },
    async ask(secret, request, extras = {}) {
      return outcomeText(await world.check(secret, request, { mode: Mode.PEEK, ...extras }));
    },
    async cleanUp() {
      for (const name of workspaces) {
        await session.directory.deleteWorkspace({ directory, workspaceId: id(name) });
      }
      for (const keyId of keyIds) {
        await session.keys.revokeKey({ target: { case: "keyId", value: keyId }, reason: "the demo is over" });
      }
    },
  };
  return world;
}

/** "allowed", or "refused: POINTS_EXCEEDED, 429". */
export function outcomeText(answer: CheckResponse): string {
  return answer.allowed ? "allowed" : `refused: ${reasonName(answer.reason)}, ${answer.httpStatus}`;
}

/** A refusal of the server, as the story tells it. Throws what is none. */
function refusalText(error: unknown): string {
  const info = error instanceof ConnectError ? error.findDetails(ErrorInfoSchema)[0] : undefined;
  if (info === undefined) throw error;
  const status = info.metadata.http_status;
  return `refused: ${info.reason}${status === undefined ? "" : `, ${status}`}`;
}
