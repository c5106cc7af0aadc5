import { installedProgram } from "../support/installed-program.ts";
import { outputOf } from "../support/run-program.ts";
import {
  CALL_TIMEOUT_MS,
  type CreateForeign,
  connectAnswer,
  type ForeignCaller,
  headersOf,
  SERVICE,
  urlOf,
} from "./foreign-client.ts";

/**
 * curl with Connect's JSON. It makes one call a connection: until curl 8.0.0 a connection of prior knowledge
 * could not be used again (curl issue 10634).
 */
export async function bringCurl(): Promise<CreateForeign<ForeignCaller>> {
  const program = installedProgram({ name: "curl", debianPackage: "curl", homebrew: "curl" });
  return (target) => ({
    async call(method, request) {
      const headers = { "content-type": "application/json", ...headersOf(target) };
      const args = [
        ...["--silent", "--show-error", "--write-out", "\n%{http_version}"],
        ...(target.caFile === undefined
          ? ["--http2-prior-knowledge"]
          : ["--http2", "--cacert", target.caFile]),
        ...Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
        ...["--data-binary", "@-", `${urlOf(target)}/${SERVICE}/${method}`],
      ];
      const printed = await outputOf(program, args, {
        timeoutMs: CALL_TIMEOUT_MS,
        stdin: JSON.stringify(request),
      });
      const [body = "", version] = printed.split("\n");
      if (version !== "2") throw new Error(`answered in HTTP/${version}: ${body}`);
      return connectAnswer(body);
    },
  });
}
