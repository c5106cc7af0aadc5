import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "@bufbuild/protobuf";
import { installedProgram } from "../support/installed-program.ts";
import { reapFolder } from "../support/reaper.ts";
import { outputOf } from "../support/run-program.ts";
import {
  CALL_TIMEOUT_MS,
  type CreateForeign,
  connectAnswer,
  type ForeignCaller,
  type ForeignRepeater,
  type ForeignTarget,
  headersOf,
  SERVICE,
  urlOf,
} from "./foreign-client.ts";

/** nghttp2's own client, with Connect's JSON. */
export async function bringNghttp(): Promise<CreateForeign<ForeignCaller>> {
  const run = post("nghttp");
  return (target) => ({
    call: async (method, request) => connectAnswer(await run([], { target, method, request })),
  });
}

/** The same under load. */
export async function bringH2load(): Promise<CreateForeign<ForeignRepeater>> {
  const run = post("h2load");
  return (target) => ({
    async callTimes(method, request, { times, atOnce }) {
      const options = [
        "--clients",
        "1",
        "--requests",
        String(times),
        "--max-concurrent-streams",
        String(atOnce),
      ];
      const printed = await run(options, { target, method, request });
      // Over TLS it would speak HTTP/1.1 too.
      if (!/^Application protocol: h2c?$/m.test(printed)) throw new Error(`not HTTP/2:\n${printed}`);
      return Number(/^status codes: (\d+) 2xx,/m.exec(printed)?.[1] ?? 0);
    },
  });
}

/** Both take the request's body from a file, and no authority: over TLS they trust anybody. */
function post(name: string) {
  const program = installedProgram({ name, debianPackage: "nghttp2-client", homebrew: "nghttp2" });
  const folder = mkdtempSync(join(tmpdir(), `tollgate-${name}-`));
  reapFolder(folder);
  const body = join(folder, "request.json");
  return (
    options: readonly string[],
    { target, method, request }: { target: ForeignTarget; method: string; request: JsonObject },
  ): Promise<string> => {
    writeFileSync(body, JSON.stringify(request));
    const headers = { "content-type": "application/json", ...headersOf(target) };
    const args = Object.entries(headers).flatMap(([header, value]) => ["--header", `${header}: ${value}`]);
    const url = `${urlOf(target)}/${SERVICE}/${method}`;
    return outputOf(program, [...options, ...args, "--data", body, url], { timeoutMs: CALL_TIMEOUT_MS });
  };
}
