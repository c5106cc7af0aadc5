import { type EnvoyListener, type EnvoyProcess, startEnvoy } from "../support/envoy.ts";
import { createJsonApi, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { startUpstream, type Upstream } from "./envoy-upstream.ts";

/** Envoy with the shipped configuration between a client and an API, and Tollgate beside it. */
export interface EnvoyStage<Name extends string> {
  readonly tollgate: TollgateProcess;
  readonly upstream: Upstream;
  readonly envoy: EnvoyProcess<Name>;
  readonly call: JsonApi;
  stop(): Promise<void>;
}

export interface EnvoyStageOptions<Name extends string> {
  readonly listeners: Readonly<Record<Name, EnvoyListener>>;
  readonly example?: string;
  /** On top of Tollgate's. */
  readonly env?: Readonly<Record<string, string>>;
}

/** In the workspace `w1` the member `ann` may make keys of both apis. */
export async function startEnvoyStage<Name extends string>(
  options: EnvoyStageOptions<Name>,
): Promise<EnvoyStage<Name>> {
  const [tollgate, upstream] = await Promise.all([
    startTollgate({ env: { TOLLGATE_POINTS_BUDGET: PATIENT, ...options.env }, readyTimeoutMs: 55_000 }),
    startUpstream(),
  ]);
  const call = createJsonApi(tollgate.url, tollgate.adminToken);
  await putWorld(call, "w1");
  const envoy = await startEnvoy({
    example: options.example ?? "envoy.yaml",
    token: await gatewayToken(call),
    tollgatePort: Number(new URL(tollgate.url).port),
    upstreamPort: upstream.port,
    listeners: options.listeners,
    // Other tests have the machine busy meanwhile.
    timeout: "5s",
  });
  return {
    tollgate,
    upstream,
    envoy,
    call,
    async stop() {
      await envoy.stop();
      upstream.stop();
      await tollgate.stop();
    },
  };
}

/** A caller token that may do what Envoy needs, and nothing else. */
export async function gatewayToken(call: JsonApi): Promise<string> {
  const grants = ["GRANT_CHECK", "GRANT_CONSUME"];
  const { body } = await succeed(call("CallerService/CreateCallerToken", { name: "envoy", grants }));
  return body.secret;
}
