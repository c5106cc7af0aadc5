import { parse } from "yaml";

/** Envoy's configuration as far as the benchmark looks into it; its other fields are passed on. */
interface EnvoyConfig {
  static_resources: { listeners: Listener[]; clusters: unknown[] };
}

interface Listener {
  address: { socket_address: { port_value: number } };
  filter_chains: { filters: { typed_config: ConnectionManager }[] }[];
}

interface ConnectionManager {
  access_log?: unknown;
  scheme_header_transformation?: { scheme_to_overwrite: string };
  http_filters: HttpFilter[];
}

export interface HttpFilter {
  readonly name: string;
  readonly typed_config: Readonly<Record<string, unknown>>;
}

export interface EnvoyConfigOptions {
  /** Of the example's ports, which is used instead; the listener is the one on `listen`. */
  readonly ports: { readonly listen: PortChange; readonly others: readonly PortChange[] };
  readonly adminPort: number;
  /** Which filters take the place of the example's. */
  readonly filters: (example: readonly HttpFilter[]) => readonly HttpFilter[];
}

export interface PortChange {
  readonly example: number;
  readonly used: number;
}

/**
 * An example's configuration, in YAML, as the benchmark runs it, in JSON: on other ports, with other filters,
 * without an access log, and as if TLS ended before it, since Retrac's policy requires https.
 */
export function envoyConfig(example: string, { ports, adminPort, filters }: EnvoyConfigOptions): string {
  const config = parse(example) as EnvoyConfig;
  const { listeners, clusters } = config.static_resources;
  const listener = listeners.find(
    ({ address }) => address.socket_address.port_value === ports.listen.example,
  );
  const manager = listener?.filter_chains[0]?.filters[0]?.typed_config;
  if (listener === undefined || manager === undefined)
    throw new Error(`the example has no listener on port ${ports.listen.example}`);
  delete manager.access_log;
  manager.scheme_header_transformation = { scheme_to_overwrite: "https" };
  manager.http_filters = [...filters(manager.http_filters)];
  const resources = [ports.listen, ...ports.others].reduce(withPort, {
    ...config.static_resources,
    listeners: [listener],
    clusters,
  });
  return JSON.stringify({
    ...config,
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: adminPort } } },
    static_resources: resources,
  });
}

/** Throws when nothing has that port: the example is not what it was thought to be. */
function withPort<Value>(value: Value, { example, used }: PortChange): Value {
  let count = 0;
  const changed = JSON.parse(JSON.stringify(value), (key, part: unknown) => {
    if (key !== "port_value" || part !== example) return part;
    count++;
    return used;
  }) as Value;
  if (count === 0) throw new Error(`nothing in the example has port ${example}`);
  return changed;
}

const EXT_AUTHZ = "envoy.filters.http.ext_authz";

export function withoutAuthorization(filters: readonly HttpFilter[]): HttpFilter[] {
  return filters.filter(({ name }) => name !== EXT_AUTHZ);
}

/**
 * In place of the example's ext_authz a rate limit filter that asks the same cluster, with the same timeout and
 * the same metadata, and refuses what it gets no answer for. Its one descriptor is the key's id, from a header.
 */
export function withRateLimit({ domain, idHeader }: { domain: string; idHeader: string }) {
  return (filters: readonly HttpFilter[]): HttpFilter[] =>
    filters.map((filter) => {
      if (filter.name !== EXT_AUTHZ) return filter;
      const service = filter.typed_config["grpc_service"] as { timeout?: string };
      return {
        name: "envoy.filters.http.ratelimit",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit",
          domain,
          rate_limits: [
            { actions: [{ request_headers: { header_name: idHeader, descriptor_key: "key_id" } }] },
          ],
          rate_limit_service: { transport_api_version: "V3", grpc_service: service },
          ...(service.timeout === undefined ? {} : { timeout: service.timeout }),
          failure_mode_deny: true,
        },
      };
    });
}
