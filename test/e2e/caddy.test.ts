import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startChildServer } from "../support/child-server.ts";
import { gatewayProgram } from "../support/gateway-programs.ts";
import { exampleWith, type GatewayPlace } from "../support/gateway-world.ts";
import { UNDECIDED } from "./gateway-example.ts";
import { describeGateway } from "./gateway-story.ts";

describeGateway({
  name: "Caddy",
  page: { file: "caddy.md", language: "caddyfile", shows: ["caddy/Caddyfile"] },
  start: startCaddy,
  pointsOnAdmitted: true,
  withoutTollgate: UNDECIDED,
  withTollgateFrozen: [UNDECIDED],
});

function startCaddy({ folder, port, tollgatePort, apiPort, api, token, certificate }: GatewayPlace) {
  const listen = `bind 127.0.0.1\n`;
  const withTls = `${listen}\ttls ${certificate?.certificate} ${certificate?.key}\n`;
  const configuration = exampleWith(["caddy", "Caddyfile"], {
    // A scheme, which the example leaves to Caddy, so that a free port speaks what the test wants.
    ":8000 {": certificate === undefined ? `:${port} {` : `https://:${port} {`,
    [listen]: certificate === undefined ? listen : withTls,
    "127.0.0.1:8080": `127.0.0.1:${tollgatePort}`,
    "127.0.0.1:9000": `127.0.0.1:${apiPort}`,
    "api=retool": `api=${api}`,
  });
  const file = join(folder, "Caddyfile");
  writeFileSync(file, configuration);
  return startChildServer({
    name: "caddy",
    command: gatewayProgram.caddy(),
    args: ["run", "--config", file, "--adapter", "caddyfile"],
    env: { XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder, HOME: folder, TOLLGATE_TOKEN: token },
    ready: /serving initial configuration/,
  });
}
