import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { inRepository } from "../test/support/repository.ts";

/** Writes what was measured, and on which machine, into `bench/results/`; answers the file's path. */
export function writeResultFile(results: object): string {
  const folder = inRepository("bench", "results");
  mkdirSync(folder, { recursive: true });
  const file = inRepository("bench", "results", `${new Date().toISOString().replaceAll(":", "-")}.json`);
  writeFileSync(file, `${JSON.stringify({ machine: machine(), ...results }, null, 2)}\n`);
  return file;
}

/** The machine and the command, to stand below a table. */
export function machineLine(): string {
  const { cpu, cores, gigabytes, platform, node } = machine();
  const command = ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])];
  return `${cores} × ${cpu}, ${gigabytes} GB, ${platform}, Node ${node}: \`${command.join(" ")}\``;
}

function machine() {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    gigabytes: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    platform: process.platform,
  };
}
