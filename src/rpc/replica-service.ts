import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ListedReplica, Replicas } from "../core/replicas.ts";
import {
  type ReplicaSchema,
  type ReplicaService,
  ReplicaState,
} from "../gen/tollgate/v1/replica_service_pb.ts";
import { authenticatedCall } from "./call.ts";
import { duration } from "./time-message.ts";

const STATES = { live: ReplicaState.LIVE, lapsed: ReplicaState.LAPSED } as const;

export function createReplicaService(replicas: Replicas): ServiceImpl<typeof ReplicaService> {
  return {
    async listReplicas(_request, { values }) {
      const { caller, deadline } = authenticatedCall(values);
      const list = await replicas.list(caller, deadline);
      return {
        highestChange: list.highest,
        replicas: list.replicas.map(replicaMessage),
        policies: list.policies.map((policy) => ({ ...policy, digests: [...policy.digests] })),
      };
    },
  };
}

function replicaMessage(replica: ListedReplica): MessageInitShape<typeof ReplicaSchema> {
  return {
    id: replica.id,
    version: replica.version,
    isThis: replica.isThis,
    state: STATES[replica.state],
    startedAgo: duration(replica.startedMsAgo),
    renewedAgo: duration(replica.renewedMsAgo),
    lease: duration(replica.leaseMs),
    appliedChange: replica.applied,
    changesBehind: replica.changesBehind,
    policies: { ...replica.policies },
  };
}
