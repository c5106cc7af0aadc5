import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { startChildServer } from "./child-server.ts";
import { gatewayProgram } from "./gateway-programs.ts";
import { reapFolder } from "./reaper.ts";
import { inRepository } from "./repository.ts";

/** A part of Envoy's configuration, as YAML has it. */
type Part = Record<string, unknown>;

/** What a listener has instead of what the example says. Each part is laid over the example's, field by field. */
export interface EnvoyListener {
  readonly listener?: Part;
  /** The HTTP connection manager. */
  readonly connections?: Part;
  readonly extAuthz?: Part;
  /** The rate limit filter. */
  readonly rateLimit?: Part;
  /** Of every virtual host; a value that is undefined takes the example's away. */
  readonly contextExtensions?: Readonly<Record<string, string | undefined>>;
  readonly virtualHosts?: Part;
  readonly transportSocket?: Part;
}

export interface EnvoyOptions<Name extends string> {
  /** A file in examples/envoy. */
  readonly example: string;
  /** A caller token. */
  readonly token: string;
  readonly tollgatePort: number;
  readonly upstreamPort: number;
  /** Each is the example's listener with a port of its own. */
  readonly listeners: Readonly<Record<Name, EnvoyListener>>;
  readonly clusters?: { readonly upstream?: Part; readonly tollgate?: Part };
  /** How long Envoy waits for Tollgate, such as "5s"; default: as the example says. */
  readonly timeout?: string;
}

export interface EnvoyProcess<Name extends string> {
  readonly ports: Readonly<Record<Name, number>>;
  /** One of Envoy's counters; throws when there is none of that name. */
  stat(name: string): Promise<number>;
  /** What it wrote, its access log among it. */
  output(): string;
  stop(): Promise<void>;
}

/** The shipped example, run by the real Envoy, with other ports. */
export async function startEnvoy<Name extends string>(
  options: EnvoyOptions<Name>,
): Promise<EnvoyProcess<Name>> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-envoy-"));
  reapFolder(folder);
  const file = join(folder, options.example);
  const adminFile = join(folder, "admin-address");
  writeFileSync(file, stringify(configuration(options), { aliasDuplicateObjects: false }));
  const server = await startChildServer({
    name: "envoy",
    command: gatewayProgram.envoy(),
    args: [
      ...["-c", file, "--disable-hot-restart", "--concurrency", "1", "--admin-address-path", adminFile],
      // Its access log is written every 10 s otherwise.
      ...["--file-flush-interval-msec", "50"],
    ],
    env: { TOLLGATE_TOKEN: options.token },
    cwd: folder,
    ready: /starting main dispatch loop/,
  });
  const admin = `http://${readFileSync(adminFile, "utf8")}`;
  const ports = (await listenerPorts(admin)) as Record<Name, number>;
  return {
    ports,
    async stat(name) {
      const response = await fetch(`${admin}/stats?format=json&filter=^${name}$`);
      const { stats } = (await response.json()) as { stats: { name: string; value: number }[] };
      const [found] = stats;
      if (found === undefined) throw new Error(`Envoy has no counter ${name}`);
      return found.value;
    },
    output: server.output,
    stop: () => server.end("SIGTERM"),
  };
}

/** By the listeners' names: Envoy picks the ports, so that none is taken by another meanwhile. */
async function listenerPorts(admin: string): Promise<Record<string, number>> {
  const response = await fetch(`${admin}/listeners?format=json`);
  const { listener_statuses } = (await response.json()) as {
    listener_statuses: { name: string; local_address: Address }[];
  };
  return Object.fromEntries(
    listener_statuses.map(({ name, local_address }) => [name, local_address.socket_address.port_value]),
  );
}

/** The example's YAML, as far as the tests reach into it. */
interface Example {
  admin: { address: Address };
  static_resources: { listeners: [Listener]; clusters: Cluster[] };
}

interface Address {
  socket_address: { port_value: number };
}

interface Listener {
  name: string;
  address: Address;
  filter_chains: [{ filters: [{ typed_config: ConnectionManager }]; transport_socket?: Part }];
}

interface ConnectionManager {
  stat_prefix: string;
  route_config: { virtual_hosts: VirtualHost[] };
  http_filters: { name: string; typed_config: Part }[];
}

interface VirtualHost {
  typed_per_filter_config: {
    "envoy.filters.http.ext_authz": {
      check_settings: { context_extensions: Record<string, string | undefined> };
    };
  };
}

interface Cluster {
  name: "upstream" | "tollgate";
  load_assignment: { endpoints: [{ lb_endpoints: [{ endpoint: { address: Address } }] }] };
}

function configuration<Name extends string>(options: EnvoyOptions<Name>): Example {
  const { example, tollgatePort, upstreamPort, listeners, clusters, timeout } = options;
  const config = parse(readFileSync(inRepository("examples", "envoy", example), "utf8")) as Example;
  const resources = config.static_resources;
  const [shipped] = resources.listeners;
  if (timeout !== undefined) setTimeouts(shipped, timeout);
  config.admin.address.socket_address.port_value = 0;
  resources.listeners = (Object.keys(listeners) as Name[]).map((name) =>
    changed(copyOf(shipped), { name, changes: listeners[name] }),
  ) as [Listener];
  for (const cluster of resources.clusters) {
    const { address } = cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint;
    address.socket_address.port_value = cluster.name === "upstream" ? upstreamPort : tollgatePort;
    Object.assign(cluster, clusters?.[cluster.name]);
  }
  return config;
}

function setTimeouts(listener: Listener, timeout: string): void {
  for (const { name, typed_config: filter } of listener.filter_chains[0].filters[0].typed_config
    .http_filters) {
    if (name === "envoy.filters.http.ext_authz") Object.assign(filter["grpc_service"] as Part, { timeout });
    if (name === "envoy.filters.http.ratelimit") filter["timeout"] = timeout;
  }
}

/** Without parts that stand in it twice, as YAML's anchors make them. */
function copyOf(listener: Listener): Listener {
  return JSON.parse(JSON.stringify(listener)) as Listener;
}

function changed(listener: Listener, { name, changes }: { name: string; changes: EnvoyListener }): Listener {
  Object.assign(listener, { name }, changes.listener);
  listener.address.socket_address.port_value = 0;
  const [chain] = listener.filter_chains;
  if (changes.transportSocket !== undefined) chain.transport_socket = changes.transportSocket;
  const manager = chain.filters[0].typed_config;
  Object.assign(manager, { stat_prefix: name }, changes.connections);
  for (const filter of manager.http_filters) {
    if (filter.name === "envoy.filters.http.ext_authz") Object.assign(filter.typed_config, changes.extAuthz);
    if (filter.name === "envoy.filters.http.ratelimit") Object.assign(filter.typed_config, changes.rateLimit);
  }
  for (const host of manager.route_config.virtual_hosts) {
    const { check_settings } = host.typed_per_filter_config["envoy.filters.http.ext_authz"];
    Object.assign(check_settings.context_extensions, changes.contextExtensions);
    Object.assign(host, changes.virtualHosts);
  }
  return listener;
}
