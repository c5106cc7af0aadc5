import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChildServer } from "../../test/support/child-server.ts";
import { freePort } from "../../test/support/free-port.ts";
import { gatewayProgram } from "../../test/support/gateway-programs.ts";
import { reapFolder } from "../../test/support/reaper.ts";
import { type EnvoyConfigOptions, envoyConfig, type PortChange } from "./envoy-config.ts";

export interface EnvoyProcess {
  readonly pid: number;
  /** Of its listener. */
  readonly url: string;
  /** Its counters of these names; one that it does not know yet is 0. */
  counters(names: readonly string[]): Promise<Readonly<Record<string, number>>>;
  stop(): Promise<void>;
}

export interface EnvoyOptions extends Pick<EnvoyConfigOptions, "filters"> {
  /** The example's text. */
  readonly example: string;
  /** TOLLGATE_TOKEN of its environment. */
  readonly token: string;
  /** All ports of the example but the listener's. */
  readonly ports: readonly PortChange[];
}

/** The port of the example's listener. */
const exampleListenPort = 10_000;

/** Envoy with one worker: the machine has the service, its Redis, the upstream and the load to run besides. */
export async function startEnvoy({ example, token, ports, filters }: EnvoyOptions): Promise<EnvoyProcess> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), "tollgate-envoy-"));
  reapFolder(folder);
  const file = join(folder, "envoy.json");
  const listen = { example: exampleListenPort, used: port };
  writeFileSync(file, envoyConfig(example, { ports: { listen, others: ports }, adminPort, filters }));
  const server = await startChildServer({
    name: "envoy",
    command: gatewayProgram.envoy(),
    args: ["-c", file, "--disable-hot-restart", "--concurrency", "1"],
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", TOLLGATE_TOKEN: token },
    cwd: folder,
    ready: /all dependencies initialized. starting workers/,
  });
  return {
    pid: server.pid,
    url: `http://127.0.0.1:${port}`,
    async counters(names) {
      const filter = encodeURIComponent(`^(${names.join("|")})$`);
      const answer = await fetch(`http://127.0.0.1:${adminPort}/stats?format=json&filter=${filter}`);
      const { stats } = (await answer.json()) as { stats: { name: string; value: number }[] };
      const values = new Map(stats.map(({ name, value }) => [name, value]));
      return Object.fromEntries(names.map((name) => [name, values.get(name) ?? 0]));
    },
    stop: () => server.end("SIGTERM"),
  };
}
