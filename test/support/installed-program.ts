import { delimiter, join } from "node:path";
import { canInstall, installPackages, isProgram } from "./debian-packages.ts";

/** A program of the system. As root on Debian or Ubuntu a missing one is installed; never skips. */
export function installedProgram(wanted: { name: string; debianPackage: string; homebrew: string }): string {
  const found = findProgram(wanted.name);
  if (found !== undefined) return found;
  if (canInstall()) installPackages([wanted.debianPackage]);
  const installed = findProgram(wanted.name);
  if (installed !== undefined) return installed;
  throw new Error(
    `${wanted.name} is missing. Debian, Ubuntu: apt-get install ${wanted.debianPackage}   macOS: brew install ${wanted.homebrew}`,
  );
}

/** Its path: of PATH, else of where systems put programs that PATH may not name, else of `alsoIn`. */
export function findProgram(name: string, alsoIn: readonly string[] = []): string | undefined {
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return [...path, "/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", ...alsoIn]
    .map((folder) => join(folder, name))
    .find(isProgram);
}
