import { type App, initAdminToken, migrateDatabase, startApp } from "./app.ts";
import { runProgram } from "./cli/run-program.ts";

/** How long a start that is under way has to end when the process is told to stop. */
const ABANDON_MS = 2000;

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

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

process.exitCode = await runProgram(process.argv.slice(2), {
  async serve(config, terminal) {
    const running: { app?: App } = {};
    const toldToStop = untilToldToStop(() => void running.app?.reloadPolicies());
    const start = async (): Promise<void> => {
      running.app = await startApp(config, terminal.print);
    };
    const started = start();
    const isReady = await Promise.race([started.then(() => true), toldToStop.then(() => false)]);
    if (isReady) await toldToStop;
    // Told before it was ready: what becomes of the start matters to nobody any more.
    else await Promise.race([started.catch(() => {}), after(ABANDON_MS)]);
    await running.app?.stop();
    if (!isReady) process.exit(0);
  },
  init: initAdminToken,
  migrate: migrateDatabase,
});
// By then everything is closed. A handle that was forgotten must not keep the process.
setTimeout(() => process.exit(), ABANDON_MS).unref();
