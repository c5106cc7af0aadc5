// npm run test:revocation [-- --seed 1 --changes 2000 --faults off,dead,on --workers 1]: three replicas are asked while rights are
// taken away, without faults, with one replica that dies again and again, and with faults of all kinds; no Check that
// began after a change had answered may be allowed by what it took. Prints how long the changes took. Exits 1 where a
// rule was broken.
import { parseArgs } from "node:util";
import { type Ban, changeKinds } from "./history.ts";
import { type RevocationRun, revocationRun } from "./revocation-run.ts";

/** Processes that have just started compile their code meanwhile: judged like the rest, and timed apart. */
const WARM_UP_MS = 5000;

/** Violations that are printed. */
const SHOWN = 20;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    changes: { type: "string", default: "2000" },
    faults: { type: "string", default: "off,dead,on" },
    workers: { type: "string", default: "1" },
  },
});

for (const faults of values.faults.split(",")) {
  if (faults !== "off" && faults !== "dead" && faults !== "on")
    throw new Error(`--faults ${faults} is none of off, dead, on`);
  const startMs = performance.now();
  process.stdout.write(`\nfaults ${faults}, seed ${values.seed}\n`);
  const run = await revocationRun({
    seed: Number(values.seed),
    changes: Number(values.changes),
    clients: 8,
    faults,
    env: { TOLLGATE_WORKERS: values.workers },
  });
  print(run, performance.now() - startMs);
  if (run.violations.length > 0) process.exitCode = 1;
}

function print({ checks, bans, faults, violations }: RevocationRun, tookMs: number): void {
  const reasons = new Map<string, number>();
  for (const { allowed, reason } of checks) {
    const name = allowed ? "allowed" : reason;
    reasons.set(name, (reasons.get(name) ?? 0) + 1);
  }
  const startMs = Math.min(...bans.map((ban) => ban.fromMs - ban.tookMs));
  const isWarm = (ban: Ban): boolean => ban.fromMs - ban.tookMs >= startMs + WARM_UP_MS;
  const lines = [
    `checks   ${checks.length} in ${(tookMs / 1000).toFixed(1)} s`,
    ...[...reasons]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `  ${name.padEnd(24)} ${count}`),
    `changes  ${bans.length}`,
    timesOf(
      `first ${WARM_UP_MS / 1000} s, all`,
      bans.filter((ban) => !isWarm(ban)),
    ),
    ...changeKinds.map((kind) =>
      timesOf(
        kind,
        bans.filter((ban) => ban.kind === kind && isWarm(ban)),
      ),
    ),
    ...Object.entries(faults).map(([kind, count]) => `fault    ${kind.padEnd(24)} ${count}`),
    `violations ${violations.length}`,
    ...violations.slice(0, SHOWN).map((violation) => `  ${JSON.stringify(violation)}`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function timesOf(name: string, bans: readonly Ban[]): string {
  const took = bans.map((ban) => ban.tookMs);
  const again = bans.filter(({ attempts }) => attempts > 1).length;
  return `  ${name.padEnd(24)} ${String(took.length).padStart(4)}  ${spread(took)}  asked again ${again}`;
}

function spread(took: readonly number[]): string {
  const sorted = [...took].sort((a, b) => a - b);
  const at = (part: number): string =>
    (sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0).toFixed(1).padStart(7);
  return `p50 ${at(0.5)} ms  p99 ${at(0.99)} ms  max ${at(1)} ms`;
}
