import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startChildServer } from "../support/child-server.ts";
import { sendRaw } from "../support/gateway-client.ts";
import { gatewayProgram } from "../support/gateway-programs.ts";
import { exampleWith, type GatewayPlace } from "../support/gateway-world.ts";
import { until } from "../support/until.ts";
import { describeGateway } from "./gateway-story.ts";

describeGateway({
  name: "Traefik",
  page: { file: "traefik.md", language: "yaml", shows: ["traefik/traefik.yaml", "traefik/dynamic.yaml"] },
  start: startTraefik,
  // ForwardAuth has nothing by which an answer that admits could reach the client.
  pointsOnAdmitted: false,
  withoutTollgate: { status: 500, contentType: [], body: "" },
  // It waits 30 s.
  withTollgateFrozen: [],
});

async function startTraefik(place: GatewayPlace) {
  const { folder, port, tollgatePort, apiPort, api, token, certificate } = place;
  const address = `address: 127.0.0.1:${port}\n`;
  const fixed = exampleWith(["traefik", "traefik.yaml"], {
    "address: 127.0.0.1:8000\n": certificate === undefined ? address : `${address}    http: {tls: {}}\n`,
    "filename: dynamic.yaml": `filename: ${join(folder, "dynamic.yaml")}`,
  });
  const dynamic = exampleWith(["traefik", "dynamic.yaml"], {
    "127.0.0.1:8080": `127.0.0.1:${tollgatePort}`,
    "127.0.0.1:9000": `127.0.0.1:${apiPort}`,
    "api=retool": `api=${api}`,
  });
  const stores = `tls: {stores: {default: {defaultCertificate: {certFile: ${certificate?.certificate}, keyFile: ${certificate?.key}}}}}\n`;
  writeFileSync(join(folder, "traefik.yaml"), fixed);
  writeFileSync(join(folder, "dynamic.yaml"), certificate === undefined ? dynamic : `${dynamic}\n${stores}`);
  const server = await startChildServer({
    name: "traefik",
    command: gatewayProgram.traefik(),
    args: [`--configFile=${join(folder, "traefik.yaml")}`],
    env: { HOME: folder, TOLLGATE_TOKEN: token },
    ready: /Traefik version /,
  });
  // It listens before it has read its routes, and answers 404 by itself until then.
  const isRouted = async () => {
    const { status, body } = await sendRaw({ port, isTls: certificate !== undefined }, { line: "GET /" });
    return status !== 0 && !body.includes("404 page not found");
  };
  await until(isRouted);
  return server;
}
