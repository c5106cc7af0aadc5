import { join } from "node:path";
import { findProgram } from "./installed-program.ts";
import { cachedFolder } from "./program-cache.ts";
import { outputOf } from "./run-program.ts";

const DOWNLOAD_TIMEOUT_MS = 2 * 60_000;
const BUILD_TIMEOUT_MS = 12 * 60_000;
/** What a test's hook must allow for that brings a program. */
export const INSTALL_TIMEOUT_MS = 15 * 60_000;

/** Where the conformance runner's own sources stand, which hold the proto files of its service. */
const CONFORMANCE = "connectrpc.com/conformance@v1.0.7";

/** Programs that are published as Go modules. The first use builds them; never skips. */
export const goProgram = {
  /** Go offers no later tag: the module's path has no /v2. It has no go.mod, so what it needs is the newest. */
  h2spec: () => built("github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"),
  connectconformance: () => built(CONFORMANCE.replace("@", "/cmd/connectconformance@")),
  grpcurl: () => built("github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"),
  ghz: () => built("github.com/bojand/ghz/cmd/ghz@v0.93.0"),
};

/** The folder of the conformance runner's proto files. */
export async function conformanceProtos(): Promise<string> {
  const told = await outputOf(goCommand(), ["mod", "download", "-json", CONFORMANCE], {
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
  }).catch((error: unknown) => {
    throw missing(CONFORMANCE, error);
  });
  return join((JSON.parse(told) as { Dir: string }).Dir, "proto");
}

/** `go install`s a package; its last folder names the program. */
async function built(versioned: string): Promise<string> {
  const [path = "", version = ""] = versioned.split("@");
  const name = path.slice(path.lastIndexOf("/") + 1);
  const folder = await cachedFolder(`${name}-${version}`, async (fresh) => {
    process.stderr.write(`building ${name} ${version} for the tests (go install)\n`);
    await outputOf(goCommand(), ["install", versioned], {
      timeoutMs: BUILD_TIMEOUT_MS,
      env: { GOBIN: fresh },
      priority: "background",
    }).catch((error: unknown) => {
      throw missing(versioned, error);
    });
  });
  return join(folder, name);
}

function goCommand(): string {
  const go = findProgram("go", ["/usr/local/go/bin"]);
  if (go === undefined) throw new Error("go is missing: https://go.dev/dl   macOS: brew install go");
  return go;
}

function missing(what: string, cause: unknown): Error {
  return new Error(`${what} could not be brought: go, and its module proxy, are needed`, { cause });
}
