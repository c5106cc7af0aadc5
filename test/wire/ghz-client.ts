import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goProgram } from "../support/go-programs.ts";
import { reapFolder } from "../support/reaper.ts";
import { inRepository } from "../support/repository.ts";
import { outputOf } from "../support/run-program.ts";
import {
  CALL_TIMEOUT_MS,
  type CreateForeign,
  type ForeignRepeater,
  headersOf,
  SERVICE,
} from "./foreign-client.ts";

/** What of ghz's report in JSON is read. */
interface GhzReport {
  readonly statusCodeDistribution: Readonly<Record<string, number>>;
}

/** gRPC for Go under load. */
export async function bringGhz(): Promise<CreateForeign<ForeignRepeater>> {
  const program = await goProgram.ghz();
  const folder = mkdtempSync(join(tmpdir(), "tollgate-ghz-"));
  reapFolder(folder);
  // It would read the messages by server reflection too, but on a connection of their own.
  const messages = join(folder, "tollgate.binpb");
  const build = ["build", inRepository(), "--as-file-descriptor-set", "-o", messages];
  await outputOf(inRepository("node_modules", ".bin", "buf"), build, { timeoutMs: CALL_TIMEOUT_MS });
  return (target) => ({
    async callTimes(method, request, { times, atOnce }) {
      const args = [
        ...(target.caFile === undefined ? ["--insecure"] : ["--cacert", target.caFile]),
        ...["--connections", "1", "--format", "json", "--protoset", messages],
        ...["--call", `${SERVICE}/${method}`, "--metadata", JSON.stringify(headersOf(target))],
        ...["--total", String(times), "--concurrency", String(atOnce), "--data", JSON.stringify(request)],
      ];
      const report = await outputOf(program, [...args, `127.0.0.1:${target.port}`], {
        timeoutMs: CALL_TIMEOUT_MS,
      });
      return (JSON.parse(report) as GhzReport).statusCodeDistribution["OK"] ?? 0;
    },
  });
}
