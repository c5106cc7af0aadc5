import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { json } from "node:stream/consumers";

/** A value that tests look into; what is not there is undefined, and fails what expects it. */
type JsonValue = ReturnType<typeof JSON.parse>;

/** One answer of the service as Connect JSON. */
export interface JsonAnswer {
  readonly status: number;
  /** The message, or Connect's error: `code`, `message`, `details`. */
  readonly body: JsonValue;
}

/**
 * Calls the service over HTTP/1.1 as Connect JSON: `call("CreateKey", {...})`, `call("DirectoryService/PutMember", …)`.
 * `caFile`: PEM, the one authority to trust at an https url.
 */
export function createJsonApi(url: string, token: string, { caFile }: { caFile?: string } = {}) {
  const post = caFile === undefined ? fetchJson : postTrusting(readFileSync(caFile));
  return async function call(
    method: string,
    request: object,
    options: { token?: string } = {},
  ): Promise<JsonAnswer> {
    const path = method.includes("/") ? method : `AuthorizationService/${method}`;
    return post(`${url}/tollgate.v1.${path}`, {
      headers: { "content-type": "application/json", authorization: `Bearer ${options.token ?? token}` },
      body: JSON.stringify(request),
    });
  };
}

interface JsonPost {
  readonly headers: Record<string, string>;
  readonly body: string;
}

async function fetchJson(url: string, post: JsonPost): Promise<JsonAnswer> {
  const response = await fetch(url, { method: "POST", ...post });
  return { status: response.status, body: await response.json() };
}

/** fetch takes no authority. */
function postTrusting(ca: Buffer) {
  return async (url: string, { headers, body }: JsonPost): Promise<JsonAnswer> => {
    const request = httpsRequest(url, { method: "POST", headers, ca }).end(body);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    return { status: response.statusCode ?? 0, body: await json(response) };
  };
}

export type JsonApi = ReturnType<typeof createJsonApi>;

/** The ErrorInfo of an error. */
export function errorInfo(answer: JsonAnswer): { reason: string; metadata?: Record<string, string> } {
  const details: { type: string; debug?: { reason: string } }[] = answer.body.details ?? [];
  const info = details.find((detail) => detail.type === "google.rpc.ErrorInfo");
  if (info?.debug === undefined) throw new Error(`no ErrorInfo in ${JSON.stringify(answer.body)}`);
  return info.debug;
}

/** The fields that an error complains of. */
export function violatedFields(answer: JsonAnswer): string[] {
  const details: { type: string; debug?: { fieldViolations?: { field: string }[] } }[] =
    answer.body.details ?? [];
  return details.flatMap(
    (detail) => detail.debug?.fieldViolations?.map((violation) => violation.field) ?? [],
  );
}

/** A workspace, and a member in it, who may create keys. Both apis. */
export async function putWorld(call: JsonApi, workspaceId: string): Promise<void> {
  for (const [directory, role] of [
    ["retool", "admin"],
    ["retrac", "owner"],
  ]) {
    const workspace = { directory, id: workspaceId, plan: "business", features: ["api"] };
    await succeed(call("DirectoryService/PutWorkspace", { workspace }));
    const member = { directory, workspaceId, userId: "ann", role, allLocations: true };
    await succeed(call("DirectoryService/PutMember", { member }));
  }
}

/** A key of the api, made by `ann` in the workspace. */
export async function createKey(
  call: JsonApi,
  fields: { workspaceId: string; api?: string; [field: string]: unknown },
): Promise<{ id: string; secret: string }> {
  const { body } = await succeed(
    call("CreateKey", {
      api: "retool",
      type: "access_token",
      userId: "ann",
      name: "test",
      scopes: ["users.read", "users.write", "permissions.read"],
      ...fields,
    }),
  );
  return { id: body.key.id, secret: body.secret };
}

/** Throws, with the answer, where the call was refused. */
export async function succeed(answer: Promise<JsonAnswer>): Promise<JsonAnswer> {
  const settled = await answer;
  if (settled.status !== 200) throw new Error(JSON.stringify(settled));
  return settled;
}
