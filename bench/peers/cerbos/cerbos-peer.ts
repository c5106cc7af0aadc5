import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChildServer } from "../../../test/support/child-server.ts";
import { freePort } from "../../../test/support/free-port.ts";
import { reapFolder } from "../../../test/support/reaper.ts";
import { peerProgram } from "../peer-program.ts";
import { protoField } from "../proto-field.ts";
import { untilHealthy } from "../until-healthy.ts";

/** Principals that the calls are spread over. */
const users = 10_000;

const itemKind = "item";
const itemId = "item-1";
const action = "read";

/** Owners may do everything with items, members may read them. */
const policy = {
  apiVersion: "api.cerbos.dev/v1",
  resourcePolicy: {
    version: "default",
    resource: itemKind,
    rules: [
      { actions: ["*"], effect: "EFFECT_ALLOW", roles: ["owner"] },
      { actions: [action], effect: "EFFECT_ALLOW", roles: ["member"] },
    ],
  },
};

export interface CerbosPeer {
  readonly pid: number;
  readonly grpcPort: number;
  /** Of the cerbos.svc.v1.CerbosService: CheckResourcesRequests of one resource, each of which is allowed. */
  readonly checks: readonly Buffer[];
  /** What their answers begin with. */
  readonly allowed: Buffer;
  stop(): Promise<void>;
}

/** Cerbos with one policy from a folder, and without the log of requests that it writes unless told otherwise. */
export async function startCerbosPeer(): Promise<CerbosPeer> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-cerbos-"));
  reapFolder(folder);
  mkdirSync(join(folder, "policies"));
  writeFileSync(join(folder, "policies", "item.yaml"), JSON.stringify(policy));
  const grpcPort = await freePort();
  const http = `127.0.0.1:${await freePort()}`;
  const config = {
    server: { grpcListenAddr: `127.0.0.1:${grpcPort}`, httpListenAddr: http },
    storage: { driver: "disk", disk: { directory: join(folder, "policies"), watchForChanges: false } },
    telemetry: { disabled: true },
    audit: { enabled: false },
  };
  writeFileSync(join(folder, "cerbos.yaml"), JSON.stringify(config));
  const server = await startChildServer({
    name: "Cerbos",
    command: await peerProgram.cerbos(),
    args: ["server", "--log-level=warn", `--config=${join(folder, "cerbos.yaml")}`],
    env: {},
    cwd: folder,
    // It warns that it traces nothing, and does not say when it serves.
    ready: /./,
  });
  await untilHealthy(`http://${http}/_cerbos/health`);
  return {
    pid: server.pid,
    grpcPort,
    checks: Array.from({ length: users }, (_, number) =>
      // CheckResourcesRequest: principal (id, roles), resources (actions, resource (kind, id)).
      Buffer.concat([
        protoField(3, protoField(1, `user-${number}`), protoField(3, "member")),
        protoField(4, protoField(1, action), protoField(2, protoField(1, itemKind), protoField(3, itemId))),
      ]),
    ),
    // CheckResourcesResponse: results (resource (id, kind), actions (name, effect: ALLOW)).
    allowed: protoField(
      2,
      protoField(1, protoField(1, itemId), protoField(2, itemKind)),
      protoField(2, protoField(1, action), Buffer.from([0x10, 0x01])),
    ),
    stop: () => server.end("SIGTERM"),
  };
}
