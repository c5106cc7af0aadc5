import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { inRepository } from "../test/support/repository.ts";

/** Writes what was measured, and on which machine, into `bench/results/`; answers the file's path. */
export function writeResultFile(results: object): string {
  const folder = inRepository("bench", "results");
  mkdirSync(folder, { recursive: true });
  const file = inRepository("bench", "results", `${new Date().toISOString().replaceAll(":", "-")}.json`);
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    platform: process.platform,
  };
  writeFileSync(file, `${JSON.stringify({ machine, ...results }, null, 2)}\n`);
  return file;
}
