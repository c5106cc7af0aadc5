import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startChildServer } from "../support/child-server.ts";
import { gatewayProgram } from "../support/gateway-programs.ts";
import { exampleWith, type GatewayPlace } from "../support/gateway-world.ts";
import { UNDECIDED } from "./gateway-example.ts";
import { describeGateway } from "./gateway-story.ts";

describeGateway({
  name: "nginx",
  page: { file: "nginx.md", language: "nginx", shows: ["nginx/nginx.conf"] },
  start: startNginx,
  pointsOnAdmitted: true,
  withoutTollgate: UNDECIDED,
  withTollgateFrozen: [UNDECIDED],
});

function startNginx({ folder, port, tollgatePort, apiPort, api, token, certificate }: GatewayPlace) {
  const listen = `listen 127.0.0.1:${port}`;
  const withTls = `${listen} ssl; ssl_certificate ${certificate?.certificate}; ssl_certificate_key ${certificate?.key};`;
  const configuration = exampleWith(["nginx", "nginx.conf"], {
    "listen 127.0.0.1:8000;": certificate === undefined ? `${listen};` : withTls,
    "server 127.0.0.1:8080;": `server 127.0.0.1:${tollgatePort};`,
    "server 127.0.0.1:9000;": `server 127.0.0.1:${apiPort};`,
    "api=retool": `api=${api}`,
    // So that it says when it serves.
    "error_log stderr;": "error_log stderr notice;",
  });
  writeFileSync(join(folder, "nginx.conf"), configuration);
  const tokenLine = `proxy_set_header X-Tollgate-Token ${token};\n`;
  writeFileSync(join(folder, "tollgate-token.conf"), tokenLine, { mode: 0o600 });
  return startChildServer({
    name: "nginx",
    command: gatewayProgram.nginx(),
    args: ["-e", "stderr", "-p", folder, "-c", "nginx.conf"],
    env: {},
    ready: /start worker process /,
    reapSignal: "SIGTERM",
  });
}
