import type { Code } from "@connectrpc/connect";
import { goProgram } from "../support/go-programs.ts";
import { inRepository } from "../support/repository.ts";
import { runProgram } from "../support/run-program.ts";
import {
  CALL_TIMEOUT_MS,
  type CreateForeign,
  type ForeignCaller,
  headersOf,
  SERVICE,
} from "./foreign-client.ts";

/** What grpcurl prints on stderr of a call that failed: a google.rpc.Status. */
interface GrpcurlStatus {
  readonly code: Code;
  readonly details: readonly { readonly "@type": string; readonly reason?: string }[];
}

/** gRPC for Go, and so Go's own HTTP/2. It asks by server reflection what the messages look like. */
export async function bringGrpcurl(): Promise<CreateForeign<ForeignCaller>> {
  const program = await goProgram.grpcurl();
  // Reflection tells of the services' messages alone, and not of the details of errors.
  const details = [
    "-import-path",
    inRepository("proto", "vendor"),
    "-proto",
    "google/rpc/error_details.proto",
  ];
  return (target) => ({
    async call(method, request) {
      const headers = Object.entries(headersOf(target)).flatMap(([name, value]) => [
        "-H",
        `${name}: ${value}`,
      ]);
      const security = target.caFile === undefined ? ["-plaintext"] : ["-cacert", target.caFile];
      const args = [...security, "-format-error", "-use-reflection", ...details, ...headers, "-d", "@"];
      const { code, stdout, stderr } = await runProgram(
        program,
        [...args, `127.0.0.1:${target.port}`, `${SERVICE}/${method}`],
        { timeoutMs: CALL_TIMEOUT_MS, stdin: JSON.stringify(request) },
      );
      if (code === 0) return { answer: JSON.parse(stdout) };
      const status = JSON.parse(stderr) as GrpcurlStatus;
      const info = status.details.find((detail) => detail["@type"].endsWith("/google.rpc.ErrorInfo"));
      return { failure: { code: status.code, reason: info?.reason ?? "" } };
    },
  });
}
