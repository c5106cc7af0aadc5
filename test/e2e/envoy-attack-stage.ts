import { expect } from "vitest";
import type { EnvoyListener } from "../support/envoy.ts";
import { createKey, succeed } from "../support/json-api.ts";
import { arrivedIn, type HttpAnswer, reasonIn } from "./envoy-answer.ts";
import { documentedYaml } from "./envoy-documentation.ts";
import { type RawRequest, sendRaw, type Target } from "./envoy-raw-request.ts";
import { type EnvoyStage, startEnvoyStage } from "./envoy-stage.ts";
import { documentedTls } from "./envoy-tls.ts";

/** Lets pass on an error: so nothing that a client sends may ever become one. */
const open = { failure_mode_allow: true, failure_mode_allow_header_add: true };
/** Leaves every header that a client sends to Tollgate. */
const asSent = {
  common_http_protocol_options: { headers_with_underscores_action: "ALLOW" },
  early_header_mutation_extensions: [],
};
const transportSocket = documentedTls();

const listeners = {
  http: {},
  https: { transportSocket },
  open: { transportSocket, extAuthz: open, connections: asSent },
  openRaw: {
    transportSocket,
    connections: asSent,
    extAuthz: {
      ...open,
      encode_raw_headers: true,
      with_request_body: { max_request_bytes: 64, allow_partial_message: true },
    },
  },
  openNormalising: {
    transportSocket,
    extAuthz: open,
    connections: {
      normalize_path: true,
      merge_slashes: true,
      path_with_escaped_slashes_action: "UNESCAPE_AND_FORWARD",
    },
  },
  openLarge: {
    transportSocket,
    listener: { per_connection_buffer_limit_bytes: 10_000_000 },
    extAuthz: { ...open, with_request_body: { max_request_bytes: 8_000_000, allow_partial_message: true } },
  },
  /** The api by its host. */
  openByHost: { extAuthz: open, contextExtensions: { api: undefined } },
  behindHop: {
    extAuthz: open,
    connections: documentedYaml("envoy.md", "X-Forwarded-For and -Proto of a trusted hop"),
    contextExtensions: { forwarded_proto: "trusted" },
  },
  proxied: { extAuthz: open, listener: documentedYaml("envoy.md", "PROXY protocol") },
} satisfies Record<string, EnvoyListener>;

export type ListenerName = keyof typeof listeners;

/** The shipped configuration, and those that would let an error pass. */
export const everywhere = ["https", "open", "openRaw"] as const;

/** A request to `path` by GET, unless `line` says otherwise. */
export interface Attack extends Partial<RawRequest> {
  readonly path?: string;
}

interface TestKey {
  readonly id: string;
  readonly secret: string;
}

/** Envoy in every configuration that is attacked, and keys that may little. */
export interface AttackStage extends EnvoyStage<ListenerName> {
  /** Reads users; of retool. */
  readonly users: TestKey;
  /** Reads items; of retrac. */
  readonly items: TestKey;
  target(name: ListenerName): Target;
  attack(name: ListenerName, request: Attack, host: string): Promise<HttpAnswer>;
  /** `/api/v2/users` of retool's host, unless the request says otherwise. */
  toRetool(name: ListenerName, request: Attack): Promise<HttpAnswer>;
  /** `/items` of retrac's host, likewise. */
  toRetrac(name: ListenerName, request: Attack): Promise<HttpAnswer>;
  /** Nothing so far was an error to any of the Envoys. */
  expectNoErrors(): Promise<void>;
}

/** In retrac there is a workspace `strangers`, of which ann is no member. */
export async function startAttackStage(): Promise<AttackStage> {
  const stage = await startEnvoyStage({ listeners });
  const { call, envoy } = stage;
  const workspace = { directory: "retrac", id: "strangers", plan: "business" };
  await succeed(call("DirectoryService/PutWorkspace", { workspace }));
  const restricted = { api: "retrac", type: "restricted", scopes: ["items.read"] };

  function target(name: ListenerName): Target {
    const isTls = "transportSocket" in listeners[name];
    return { port: envoy.ports[name], scheme: isTls ? "https" : "http" };
  }

  function attack(name: ListenerName, { path, ...request }: Attack, host: string): Promise<HttpAnswer> {
    const { headers = [] } = request;
    const line = `GET ${path} HTTP/1.1`;
    return sendRaw(target(name), { line, ...request, headers: [`Host: ${host}`, ...headers] });
  }

  return {
    ...stage,
    users: await createKey(call, { workspaceId: "w1", scopes: ["users.read"] }),
    items: await createKey(call, { workspaceId: "w1", ...restricted }),
    target,
    attack,
    toRetool: (name, request) => attack(name, { path: "/api/v2/users", ...request }, "retool.example.com"),
    toRetrac: (name, request) => attack(name, { path: "/items", ...request }, "api.retrac.co"),
    async expectNoErrors() {
      for (const name of Object.keys(listeners)) {
        expect(await envoy.stat(`http.${name}.ext_authz.error`)).toBe(0);
        expect(await envoy.stat(`http.${name}.ext_authz.failure_mode_allowed`)).toBe(0);
      }
    },
  };
}

export const bearer = (key: { readonly secret: string }) => `Authorization: Bearer ${key.secret}`;

/** Such as "404 ROUTE_UNKNOWN"; of what was admitted "200" and where it arrived. */
export function outcome(answer: HttpAnswer): string {
  if (answer.status === 200) return `200 ${arrivedIn(answer).url}`;
  return `${answer.status} ${reasonIn(answer)}`.trim();
}
