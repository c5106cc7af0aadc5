import { existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { canInstall, installPackages, isProgram } from "./debian-packages.ts";

export interface ServerPrograms {
  initdb: string;
  postgres: string;
  /** redis-server or valkey-server. */
  redis: string;
}

interface FoundPrograms {
  postgresFolder: string | undefined;
  redis: string | undefined;
}

/**
 * Where Postgres and Redis stand on this machine. On Debian and Ubuntu, as root, missing ones are installed.
 * Throws, saying what is missing and how to provide it; never skips.
 */
export function serverPrograms(): ServerPrograms {
  let found = findPrograms();
  const missing = missingPackages(found);
  if (missing.length > 0 && canInstall()) {
    installPackages(missing);
    found = findPrograms();
  }
  if (found.postgresFolder === undefined || found.redis === undefined) throw new Error(explainMissing(found));
  return {
    initdb: join(found.postgresFolder, "initdb"),
    postgres: join(found.postgresFolder, "postgres"),
    redis: found.redis,
  };
}

function findPrograms(): FoundPrograms {
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const redisFolders = [
    ...path,
    "/usr/local/bin",
    "/usr/bin",
    "/opt/homebrew/bin",
    "/usr/local/opt/redis/bin",
  ];
  return {
    postgresFolder: [...path, ...installedPostgresFolders()].find(
      (folder) => isProgram(join(folder, "postgres")) && isProgram(join(folder, "initdb")),
    ),
    redis: redisFolders
      .flatMap((folder) => [join(folder, "redis-server"), join(folder, "valkey-server")])
      .find(isProgram),
  };
}

/** Debian, PGDG, Homebrew and Postgres.app keep each version in a folder of its own that PATH does not name. */
function installedPostgresFolders(): string[] {
  const versions = (parent: string, prefix: string) =>
    (existsSync(parent) ? readdirSync(parent) : [])
      .filter((name) => name.startsWith(prefix))
      .sort((a, b) => b.localeCompare(a, "en", { numeric: true }))
      .map((name) => join(parent, name, "bin"));
  return [
    ...versions("/usr/lib/postgresql", ""),
    ...versions("/usr", "pgsql-"),
    ...versions("/opt/homebrew/opt", "postgresql"),
    ...versions("/usr/local/opt", "postgresql"),
    ...versions("/Applications/Postgres.app/Contents/Versions", ""),
  ];
}

function missingPackages(found: FoundPrograms): string[] {
  const missing: string[] = [];
  if (found.postgresFolder === undefined) missing.push("postgresql");
  if (found.redis === undefined) missing.push("redis-server");
  return missing;
}

function explainMissing(found: FoundPrograms): string {
  const lines = ["The tests run against a real Postgres and a real Redis, and this machine lacks:"];
  if (found.postgresFolder === undefined) {
    lines.push(
      "  Postgres 14 or later (programs initdb and postgres).",
      "    Debian, Ubuntu: apt-get install postgresql   macOS: brew install postgresql@17",
      "    or set TEST_DATABASE_URL to a superuser's URL of a server that may be filled and emptied.",
    );
  }
  if (found.redis === undefined) {
    lines.push(
      "  Redis 6.2 or later, or Valkey (program redis-server or valkey-server).",
      "    Debian, Ubuntu: apt-get install redis-server   macOS: brew install redis",
      "    or set TEST_REDIS_URL to an empty server that may be filled and emptied.",
    );
  }
  return lines.join("\n");
}
