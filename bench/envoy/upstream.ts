import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChildServer } from "../../test/support/child-server.ts";
import { freePort } from "../../test/support/free-port.ts";
import { gatewayProgram } from "../../test/support/gateway-programs.ts";
import { reapFolder } from "../../test/support/reaper.ts";

export interface Upstream {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * The API behind Envoy, as cheap as can be: nginx with one answer. Envoy itself cannot stand in for it by a
 * direct_response, since its rate limit filter passes over routes without a cluster.
 */
export async function startUpstream(): Promise<Upstream> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "tollgate-upstream-"));
  reapFolder(folder);
  writeFileSync(join(folder, "nginx.conf"), configuration(port));
  const server = await startChildServer({
    name: "nginx",
    command: gatewayProgram.nginx(),
    args: ["-e", "stderr", "-p", folder, "-c", "nginx.conf"],
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
    cwd: folder,
    ready: /using the "\w+" event method/,
  });
  return { port, stop: () => server.end("SIGTERM") };
}

/** One process, so that its end by whatever signal leaves no worker behind. */
const configuration = (port: number) => `
daemon off;
master_process off;
error_log stderr notice;
pid nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  default_type application/json;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:${port};
    location / { return 200 '{"items":[]}'; }
  }
}
`;
