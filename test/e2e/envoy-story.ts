import { create } from "@bufbuild/protobuf";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect } from "vitest";
import { reasonName } from "../../src/cli/decision-lines.ts";
import type { Scene, Stage } from "../../src/cli/demo-stage.ts";
import { createWorld, outcomeText, type World } from "../../src/cli/demo-world.ts";
import type { Session } from "../../src/cli/session.ts";
import {
  AuthorizationService,
  type CheckResponse,
  CheckResponseSchema,
} from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { DenyReason, Mode } from "../../src/gen/tollgate/v1/decision_pb.ts";
import { DirectoryService } from "../../src/gen/tollgate/v1/directory_service_pb.ts";
import type { TollgateProcess } from "../support/server-process.ts";
import { arrivedIn, type HttpAnswer, identityIn, valuesOf } from "./envoy-answer.ts";
import { curlEach } from "./envoy-curl.ts";

/** Where a request of the story goes: the port that charges, and those that only look. */
export interface StoryPorts {
  readonly enforcing: number;
  readonly peeking: readonly number[];
}

export interface StoryOptions {
  readonly api: "retool" | "retrac";
  readonly host: string;
  readonly tollgate: TollgateProcess;
  readonly ports: Readonly<Record<"http" | "https", StoryPorts>>;
}

/** As much as a request needs for Envoy's buffer of it to be too small. */
const STORY_BODY = "x".repeat(100);

/**
 * Tells a story of `tollgate demo`, with every request made by curl through Envoy instead of by an RPC, and
 * answers its scenes. Each answer must say in HTTP, and to the API, all that the RPC says of the same request.
 */
export async function tellThroughEnvoy(
  tell: (session: Session, stage: Stage, world: World) => Promise<void>,
  options: StoryOptions,
): Promise<Scene[]> {
  const scenes: Scene[] = [];
  const stage: Stage = { heading() {}, show: (scene) => scenes.push(scene), aside() {}, finish: () => true };
  const session = openSession(options.tollgate);
  const { api, host } = options;
  const world = createWorld(session, { api, host, run: "envoy", stage });
  await tell(session, stage, behindEnvoy(world, options));
  return scenes;
}

function openSession({ url, adminToken }: TollgateProcess): Session {
  const withToken: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${adminToken}`);
    return next(request);
  };
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1", interceptors: [withToken] });
  // A story uses no more of it.
  return {
    keys: createClient(AuthorizationService, transport),
    directory: createClient(DirectoryService, transport),
  } as Session;
}

function behindEnvoy(world: World, { api, host, ports }: StoryOptions): World {
  async function ask(
    ports: readonly number[],
    request: { secret: string; target: string; scheme: string },
  ): Promise<{ method: string; path: string; answers: HttpAnswer[] }> {
    const { secret, target, scheme } = request;
    const named = target.replace(/\{(\w+)\}/g, (_, name: string) => world.id(name));
    const [method = "", path = ""] = named.split(" ");
    const body = method === "GET" ? [] : ["--data-binary", STORY_BODY];
    const authorization = secret === "" ? [] : ["--header", `Authorization: Bearer ${secret}`];
    const connection = ["--insecure", "--http1.1", "--request", method, ...body];
    const urls = ports.map((port) => `${scheme}://127.0.0.1:${port}${path}`);
    const answers = await curlEach(urls, ...connection, "--header", `Host: ${host}`, ...authorization);
    return { method, path, answers };
  }

  const behind: World = {
    ...world,
    async check(secret, target, { mode = Mode.ENFORCE, scheme = "https" } = {}) {
      const { enforcing, peeking } = ports[scheme as "http" | "https"];
      const request = { secret, target, scheme };
      if (mode === Mode.ENFORCE) {
        const { answers } = await ask([enforcing], request);
        return asCheckResponse(answers[0] as HttpAnswer);
      }
      // Neither of the two charges: so what they say of the points is the same.
      const told = await world.check(secret, target, { mode: Mode.PEEK, scheme });
      const { method, path, answers } = await ask(peeking, request);
      for (const answer of answers) expectToSay(answer, { told, api, method, path });
      return asCheckResponse(answers[0] as HttpAnswer);
    },
    ask: async (secret, target, extras = {}) =>
      outcomeText(await behind.check(secret, target, { mode: Mode.PEEK, ...extras })),
  };
  return behind;
}

/** What of an answer the stories tell. */
function asCheckResponse({ status, headers, body }: HttpAnswer): CheckResponse {
  const value = (name: string) => valuesOf({ headers }, name)[0];
  const points = {
    cost: Number(value("x-test-cost") ?? 0),
    remaining: Number(/;r=(\d+)/.exec(value("ratelimit") ?? "")?.[1] ?? 0),
    blockedMs: Number(value("retry-after") ?? 0) * 1000,
  };
  if (status === 200) return create(CheckResponseSchema, { allowed: true, points });
  const { reason } = JSON.parse(body) as { reason: keyof typeof DenyReason };
  return create(CheckResponseSchema, {
    allowed: false,
    reason: DenyReason[reason],
    httpStatus: status,
    points,
  });
}

interface Said {
  readonly told: CheckResponse;
  readonly api: string;
  readonly method: string;
  readonly path: string;
}

/** All of the answer: its status, every header, its body, and what the API was told. */
function expectToSay(answer: HttpAnswer, said: Said): void {
  const { told } = said;
  expect(answer.status).toBe(told.allowed ? 200 : told.httpStatus);
  expect(withoutTimes(answer)).toEqual(new Map([...pointsHeaders(told), ...headersOf(said, answer)]));
  if (!told.allowed) {
    expect(JSON.parse(answer.body)).toEqual(problemOf(told));
    return;
  }
  const { method, path } = said;
  const arrived = arrivedIn(answer);
  expect(arrived).toMatchObject({ method, url: path, bodyBytes: method === "GET" ? 0 : STORY_BODY.length });
  expect(valuesOf(arrived, "authorization")).toEqual([]);
  expect(identityIn(arrived)).toEqual(identityOf(told));
}

/** Not ours, or other ones from one moment to the next. */
const UNSTEADY = new Set(["connection", "date", "x-envoy-upstream-service-time", "x-test-cost"]);

/** By name. */
function withoutTimes({ headers }: HttpAnswer): Map<string, string> {
  const others = headers
    .filter(([name]) => !UNSTEADY.has(name))
    .map(([name, value]): [string, string] => [name, value.replace(/;t=\d+/, ";t=…")]);
  const named = new Map(others);
  expect(named.size).toBe(others.length);
  return named;
}

function pointsHeaders({ points }: CheckResponse): [string, string][] {
  if (points === undefined) return [];
  const { limitName, limit, windowSeconds, remaining } = points;
  return [
    ["ratelimit-policy", `"${limitName}";q=${limit};w=${windowSeconds}`],
    ["ratelimit", `"${limitName}";r=${remaining};t=…`],
  ];
}

function headersOf({ told, api }: Said, { body }: HttpAnswer): [string, string][] {
  const always: [string, string][] = [
    ["server", "envoy"],
    ["content-length", String(Buffer.byteLength(body))],
  ];
  if (told.allowed) return [...always, ["content-type", "application/json"]];
  const challenge = challengeOf(told);
  return [
    ...always,
    ["content-type", "application/problem+json"],
    ["cache-control", "no-store"],
    ...(challenge === undefined
      ? []
      : [["www-authenticate", `Bearer realm="${api}"${challenge}`] as [string, string]]),
  ];
}

/** RFC 6750 3, what follows the realm; undefined: none. */
function challengeOf({ httpStatus, reason, message, requiredScopes }: CheckResponse): string | undefined {
  const error = (code: string) => `, error="${code}", error_description="${message}"`;
  const scopes = requiredScopes.length === 0 ? "" : `, scope="${requiredScopes.join(" ")}"`;
  if (reason === DenyReason.KEY_MISSING) return "";
  if (httpStatus === 401) return error("invalid_token");
  if (reason === DenyReason.SCOPE_INSUFFICIENT || reason === DenyReason.SCOPE_UNAVAILABLE) {
    return `${error("insufficient_scope")}${scopes}`;
  }
  if (reason === DenyReason.WORKSPACE_REQUIRED || reason === DenyReason.WORKSPACE_NOT_ALLOWED) {
    return `${error("invalid_request")}${scopes}`;
  }
  return undefined;
}

/** RFC 9457, of a refusal that is none for want of points. */
function problemOf({ httpStatus, reason, message, requiredScopes }: CheckResponse): object {
  const titles: Readonly<Record<number, string>> = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
  };
  return {
    type: "about:blank",
    title: titles[httpStatus],
    status: httpStatus,
    detail: message,
    reason: reasonName(reason),
    ...(requiredScopes.length === 0 ? {} : { required_scopes: requiredScopes }),
  };
}

function identityOf({ principal }: CheckResponse): Record<string, string[]> {
  if (principal === undefined) return {};
  const lines: [string, string][] = [
    ["x-tollgate-key-id", principal.keyId],
    ["x-tollgate-user", principal.userId],
    ["x-tollgate-workspace", principal.workspaceId],
    ["x-tollgate-role", principal.role],
    ["x-tollgate-permissions", principal.permissions.join(",")],
    ["x-tollgate-locations", principal.allLocations ? "*" : principal.locationIds.join(",")],
  ];
  return Object.fromEntries(
    lines.filter(([, value]) => value !== "").map(([name, value]) => [name, [value]]),
  );
}
