import type { App } from "./app.ts";

/** How long a start that is under way has to end when the process is told to stop. */
const ABANDON_MS = 2000;

/**
 * Starts a service and runs it until `toldToStop`; what it answers is closed then. Answers whether it was
 * ready by then: if not, the start may still be under way, and the process should exit. Throws what
 * `start` throws.
 */
export async function serveUntilTold(
  start: () => Promise<App>,
  toldToStop: Promise<void>,
): Promise<"was ready" | "was not ready"> {
  const running: { app?: App } = {};
  const run = async (): Promise<void> => {
    running.app = await start();
  };
  const started = run();
  const isReady = await Promise.race([started.then(() => true), toldToStop.then(() => false)]);
  if (isReady) await toldToStop;
  // Told before it was ready: what becomes of the start matters to nobody any more.
  else await Promise.race([started.catch(() => {}), after(ABANDON_MS)]);
  await running.app?.stop();
  return isReady ? "was ready" : "was not ready";
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
