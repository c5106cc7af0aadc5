import { initAdminToken, migrateDatabase, startApp } from "./app.ts";
import { runProgram } from "./cli/run-program.ts";

/** Resolves when the process is told to stop: SIGTERM, or Ctrl-C. SIGHUP is told to `onReload`. */
function untilToldToStop(onReload: () => void): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
    process.on("SIGHUP", onReload);
  });
}

process.exitCode = await runProgram(process.argv.slice(2), {
  async serve(config, terminal) {
    let reload = async (): Promise<void> => {};
    // Before the start: a signal during it ends the process in order as well.
    const stopping = untilToldToStop(() => void reload());
    const app = await startApp(config, terminal.print);
    reload = app.reloadPolicies;
    await stopping;
    await app.stop();
  },
  init: initAdminToken,
  migrate: migrateDatabase,
});
