import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { conformanceProtos, goProgram, INSTALL_TIMEOUT_MS } from "../support/go-programs.ts";
import { reapFolder } from "../support/reaper.ts";
import { inRepository } from "../support/repository.ts";
import { outputOf, runProgram } from "../support/run-program.ts";
import type { Engine } from "./engines.ts";

const RUN_TIMEOUT_MS = 180_000;
/** The runner waits ten seconds for a server to begin; it would start four at once. */
const SERVERS_AT_ONCE = ["--max-servers", "2"];

/** connectrpc.conformance.v1.Config's features, as the runner's proto files have them. */
const features = {
  versions: ["HTTP_VERSION_1", "HTTP_VERSION_2"],
  protocols: ["PROTOCOL_CONNECT", "PROTOCOL_GRPC", "PROTOCOL_GRPC_WEB"],
  codecs: ["CODEC_PROTO", "CODEC_JSON"],
  compressions: ["COMPRESSION_IDENTITY", "COMPRESSION_GZIP", "COMPRESSION_BR"],
  supportsH2c: true,
  supportsTrailers: true,
  supportsConnectGet: true,
  supportsMessageReceiveLimit: true,
};

interface Run {
  readonly engine: Engine;
  readonly where: string;
  readonly features: object;
  readonly cases: number;
}

const runs: readonly Run[] = [
  {
    engine: "tollgate",
    where: "in the clear and over TLS",
    features: { ...features, supportsTls: true, supportsTlsClientCerts: true },
    cases: 5286,
  },
  { engine: "node", where: "in the clear", features: { ...features, supportsTls: false }, cases: 2718 },
];

let runner = "";
let folder = "";

beforeAll(async () => {
  runner = await goProgram.connectconformance();
  folder = mkdtempSync(join(tmpdir(), "tollgate-conformance-"));
  reapFolder(folder);
  const build = ["build", await conformanceProtos(), "--as-file-descriptor-set", "-o", descriptorsFile()];
  await outputOf(inRepository("node_modules", ".bin", "buf"), build, { timeoutMs: 60_000 });
}, INSTALL_TIMEOUT_MS);

test.each(runs)(
  "the transport of $engine carries Connect, gRPC and gRPC-Web as their conformance suite asks, over HTTP/1.1 and HTTP/2, $where",
  async ({ engine, features, cases }) => {
    const config = join(folder, `${engine}.yaml`);
    // JSON is YAML.
    writeFileSync(config, JSON.stringify({ features }));
    const server = fileURLToPath(new URL("conformance-server.process.ts", import.meta.url));
    const { stdout, stderr } = await runProgram(
      runner,
      [
        ...["--mode", "server", "--conf", config, ...SERVERS_AT_ONCE],
        ...["--", process.execPath, "--import", "tsx", server, descriptorsFile(), engine],
      ],
      { timeoutMs: RUN_TIMEOUT_MS },
    );
    const failures = stdout.split("\n").filter((line) => line.startsWith("FAILED"));
    expect(failures, stdout + stderr).toEqual([]);
    expect(stdout.split("\n"), stderr).toContain(`${cases} passed, 0 failed`);
  },
  RUN_TIMEOUT_MS + 10_000,
);

function descriptorsFile(): string {
  return join(folder, "conformance.binpb");
}
