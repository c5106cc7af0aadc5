import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type Health, HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";
import { isServing, type Serving } from "./serving.ts";
import { createStopWaits } from "./stop-waits.ts";

export interface HealthOptions {
  readonly serving: Serving;
  /** What can be asked about by name, besides "" for the whole. */
  readonly services: readonly DescService[];
  /** How often a watch looks, in milliseconds; 1000 by default. */
  readonly watchIntervalMs?: number;
}

/** grpc.health.v1: all services share one state. */
export function createHealthService(options: HealthOptions): ServiceImpl<typeof Health> {
  const { serving } = options;
  const watchIntervalMs = options.watchIntervalMs ?? 1000;
  const names = new Set(["", ...options.services.map((service) => service.typeName)]);
  const waits = createStopWaits(serving.stopping);

  function statusNow(): Status {
    return isServing(serving) ? Status.SERVING : Status.NOT_SERVING;
  }

  return {
    check({ service }) {
      if (!names.has(service)) throw new ConnectError("There is no such service.", Code.NotFound);
      return { status: statusNow() };
    },

    list() {
      return { statuses: Object.fromEntries([...names].map((name) => [name, { status: statusNow() }])) };
    },

    async *watch({ service }, { signal }) {
      let told: Status | undefined;
      for (;;) {
        const status = names.has(service) ? statusNow() : Status.SERVICE_UNKNOWN;
        if (status !== told) yield { status };
        told = status;
        if (serving.stopping.aborted || signal.aborted) return;
        await waits.untilStopOr(watchIntervalMs, signal);
      }
    },
  };
}
