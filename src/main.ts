import { fileURLToPath } from "node:url";
import { type App, initAdminToken, migrateDatabase, startApp } from "./app.ts";
import { exitStatus } from "./cli/exit.ts";
import { runProgram } from "./cli/run-program.ts";
import { serveUntilTold } from "./serve-until-told.ts";
import { supervise } from "./workers/supervisor.ts";

/** How long what was forgotten may keep the process, once everything is closed. */
const LINGER_MS = 2000;

/**
 * Resolves at the first SIGTERM or SIGINT (Ctrl-C). Further ones change nothing: the stop is under way, and
 * bounded. SIGHUP is told to `onReload`.
 */
function untilToldToStop(onReload: () => void): Promise<void> {
  return new Promise((resolve) => {
    process.on("SIGTERM", () => resolve());
    process.on("SIGINT", () => resolve());
    process.on("SIGHUP", onReload);
  });
}

/** In dist: what each process of `--workers` runs. */
const workerProgram = fileURLToPath(new URL("worker.js", import.meta.url));

const args = process.argv.slice(2);
process.exitCode = await runProgram(args, {
  async serve(config, terminal) {
    if (config.workers > 1) {
      return supervise(config, { terminal, workerProgram, asJson: args.includes("--json") });
    }
    const running: { app?: App } = {};
    const toldToStop = untilToldToStop(() => void running.app?.reloadPolicies());
    const ended = await serveUntilTold(async () => {
      running.app = await startApp(config, { print: terminal.print });
      return running.app;
    }, toldToStop);
    if (ended === "was not ready") process.exit(exitStatus.ok);
    return exitStatus.ok;
  },
  init: initAdminToken,
  migrate: migrateDatabase,
});
// By then everything is closed. A handle that was forgotten must not keep the process.
setTimeout(() => process.exit(), LINGER_MS).unref();
