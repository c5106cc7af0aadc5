import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AuthorizationService } from "../../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { Mode } from "../../../src/gen/tollgate/v1/decision_pb.ts";
import { type GoodClient, keepAsking } from "./keep-asking.ts";

export interface CheckClientOptions {
  readonly url: string;
  readonly token: string;
  /** A key that is allowed `users.read` of Retool. */
  readonly key: string;
  /** Told how long each answer took, in milliseconds. */
  readonly onAnswer?: (ms: number) => void;
  /** From one question to the next; the default is none. */
  readonly pauseMs?: number;
}

/** Asks one Check after the other over gRPC, which charges nothing, and expects each to be allowed. */
export function startCheckClient(options: CheckClientOptions): GoodClient {
  const { url, token, key, onAnswer = () => {}, pauseMs = 0 } = options;
  const client = createClient(AuthorizationService, createGrpcTransport({ baseUrl: url }));
  const headers = { authorization: `Bearer ${token}` };
  const check = {
    api: "retool",
    key,
    target: { case: "permission" as const, value: "users.read" },
    mode: Mode.PEEK,
  };
  return keepAsking(async () => {
    const startMs = performance.now();
    const { allowed, reason } = await client.check(check, { headers });
    if (!allowed) throw new Error(`a good client was refused: ${reason}`);
    onAnswer(performance.now() - startMs);
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  });
}
