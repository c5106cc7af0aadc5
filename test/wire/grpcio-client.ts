import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type PythonPackages, pythonPackages } from "../support/python-packages.ts";
import { reapFolder } from "../support/reaper.ts";
import { inRepository } from "../support/repository.ts";
import {
  CALL_TIMEOUT_MS,
  type CreateForeign,
  type ForeignAnswer,
  type ForeignCaller,
  type ForeignRepeater,
  headersOf,
} from "./foreign-client.ts";

const program = fileURLToPath(new URL("grpcio_client.py", import.meta.url));

/** gRPC's client for Python, which is that of its C core. */
export async function bringGrpcio(): Promise<CreateForeign<ForeignCaller & ForeignRepeater>> {
  made ??= makeStubs();
  const { python, stubs } = await made;
  return (target) => {
    const run = async (asked: object) =>
      JSON.parse(
        await python.run([program], {
          timeoutMs: CALL_TIMEOUT_MS,
          folders: [stubs],
          stdin: JSON.stringify({ ...target, headers: headersOf(target), ...asked }),
        }),
      ) as unknown;
    return {
      call: async (method, request) => (await run({ method, request })) as ForeignAnswer,
      async callTimes(method, request, { times, atOnce }) {
        const asked = { method, request, times, at_once: atOnce };
        return ((await run(asked)) as { succeeded: number }).succeeded;
      },
    };
  };
}

/** Once a test process. */
let made: ReturnType<typeof makeStubs> | undefined;

async function makeStubs(): Promise<{ python: PythonPackages; stubs: string }> {
  const python = await pythonPackages(["grpcio==1.85.1", "grpcio-tools==1.85.1"]);
  const stubs = mkdtempSync(join(tmpdir(), "tollgate-python-"));
  reapFolder(stubs);
  const [proto, vendor] = [inRepository("proto"), inRepository("proto", "vendor")];
  await python.run(
    [
      ...["-m", "grpc_tools.protoc", `-I${proto}`, `-I${vendor}`],
      ...[`--python_out=${stubs}`, `--grpc_python_out=${stubs}`],
      ...["authorization_service", "decision", "key"].map((name) => `tollgate/v1/${name}.proto`),
      ...["buf/validate/validate.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"],
    ],
    { timeoutMs: CALL_TIMEOUT_MS },
  );
  return { python, stubs };
}
