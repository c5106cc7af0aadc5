import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import type { CallerTokens } from "../core/caller-tokens.ts";
import type { Directory } from "../core/directory.ts";
import type { TollgateError } from "../core/errors.ts";
import type { Points } from "../core/points.ts";
import type { Replicas } from "../core/replicas.ts";
import {
  Authorization,
  type CheckRequest,
  type CheckResponseSchema,
} from "../gen/envoy/service/auth/v3/external_auth_pb.ts";
import {
  type RateLimitRequest,
  type RateLimitResponseSchema,
  RateLimitService,
} from "../gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection as ReflectionV1 } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ReflectionV1Alpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { CallerService } from "../gen/tollgate/v1/caller_service_pb.ts";
import { DirectoryService } from "../gen/tollgate/v1/directory_service_pb.ts";
import { PointsService } from "../gen/tollgate/v1/points_service_pb.ts";
import { ReplicaService } from "../gen/tollgate/v1/replica_service_pb.ts";
import type { WireMethod } from "../wire/wire-method.ts";
import {
  type AuthorizationServiceDependencies,
  createAuthorizationService,
} from "./authorization-service.ts";
import { type AuthenticatedCall, authenticatedCall } from "./call.ts";
import { createCallerService } from "./caller-service.ts";
import { createDirectoryService } from "./directory-service.ts";
import { createHealthService } from "./health.ts";
import { createPointsService } from "./points-service.ts";
import { createReflection } from "./reflection.ts";
import { createReplicaService } from "./replica-service.ts";
import type { Serving } from "./serving.ts";

/** What Envoy's filters ask; made in `proxy`. */
export interface Gateways {
  readonly extAuthz: {
    check(
      request: CheckRequest,
      call: AuthenticatedCall,
    ): Promise<MessageInitShape<typeof CheckResponseSchema>>;
    /** `check`, from bytes to bytes. */
    readonly wire: WireMethod<AuthenticatedCall>;
    /** What to answer where the call failed; undefined: the error. `request` is as in `Call.message`. */
    failed(
      error: TollgateError,
      request: object | undefined,
    ): MessageInitShape<typeof CheckResponseSchema> | undefined;
  };
  readonly rateLimit: {
    shouldRateLimit(
      request: RateLimitRequest,
      call: AuthenticatedCall,
    ): Promise<MessageInitShape<typeof RateLimitResponseSchema>>;
    readonly wire: WireMethod<AuthenticatedCall>;
    failed(
      error: TollgateError,
      request: object | undefined,
    ): MessageInitShape<typeof RateLimitResponseSchema> | undefined;
  };
}

export interface RoutesDependencies extends AuthorizationServiceDependencies {
  readonly directory: Directory;
  readonly callerTokens: CallerTokens;
  readonly points: Points;
  readonly replicas: Replicas;
  readonly gateways: Gateways;
  readonly serving: Serving;
  /** False: server reflection is not served. */
  readonly reflection: boolean;
  readonly watchIntervalMs?: number;
}

/** The largest message that those may send who need no token. */
const OPEN_READ_MAX_BYTES = 16 * 1024;

/** All services of this server, on whatever carries a Connect router. */
export function createRoutes(dependencies: RoutesDependencies): (router: ConnectRouter) => void {
  const { callerTokens, directory, gateways, points, replicas, serving } = dependencies;
  const services: DescService[] = [
    AuthorizationService,
    DirectoryService,
    PointsService,
    CallerService,
    ReplicaService,
    Authorization,
    RateLimitService,
    Health,
  ];
  if (dependencies.reflection) services.push(ReflectionV1, ReflectionV1Alpha);

  return (router) => {
    router.service(AuthorizationService, createAuthorizationService(dependencies));
    router.service(DirectoryService, createDirectoryService(directory));
    router.service(PointsService, createPointsService(points));
    router.service(CallerService, createCallerService(callerTokens));
    router.service(ReplicaService, createReplicaService(replicas));
    router.service(Authorization, {
      check: (request, { values }) => gateways.extAuthz.check(request, authenticatedCall(values)),
    });
    router.service(RateLimitService, {
      shouldRateLimit: (request, { values }) =>
        gateways.rateLimit.shouldRateLimit(request, authenticatedCall(values)),
    });
    router.service(
      Health,
      createHealthService({
        serving,
        services,
        ...(dependencies.watchIntervalMs === undefined
          ? {}
          : { watchIntervalMs: dependencies.watchIntervalMs }),
      }),
      { readMaxBytes: OPEN_READ_MAX_BYTES },
    );
    if (dependencies.reflection) {
      const reflection = createReflection({ services, stopping: serving.stopping });
      router.service(ReflectionV1, reflection.v1, { readMaxBytes: OPEN_READ_MAX_BYTES });
      router.service(ReflectionV1Alpha, reflection.v1alpha, { readMaxBytes: OPEN_READ_MAX_BYTES });
    }
  };
}
