import type { Socket } from "node:net";
import { type App, startApp } from "./app.ts";
import { exitStatus, reportError } from "./cli/exit.ts";
import { createTerminal } from "./cli/terminal.ts";
import { processEnvironment } from "./config.ts";
import { serveUntilTold } from "./serve-until-told.ts";
import type { Order, Question, Report } from "./workers/messages.ts";

// One of the processes of `serve --workers`: a whole replica, except that src/workers/supervisor.ts listens
// for it. It is told by messages what to do; a terminal's Ctrl-C reaches the supervisor, too, which decides.

/** How often the supervisor is told how many connections there are, at most. */
const CONNECTIONS_EVERY_MS = 100;

/** How long the supervisor has to answer a worker that is told to stop by a signal of its own. */
const LEAVE_MS = 1000;

type Start = Extract<Order, { kind: "start" }>;

const serving: { app?: App } = {};
let stop = (): void => {};
const toldToStop = new Promise<void>((resolve) => {
  stop = resolve;
});

process.on("message", (message, socket) => {
  const order = message as Order;
  switch (order.kind) {
    case "start":
      void serve(order);
      return;
    case "connection":
      // Told before anything is read: what was not taken when this process dies, another can serve whole.
      tell({ kind: "taken" });
      // Closed meanwhile, it arrives without its socket.
      if (socket !== undefined) take(socket as Socket);
      return;
    case "ask":
      void answer(order);
      return;
    case "reload":
      void serving.app?.reloadPolicies();
      return;
    case "stop":
      stop();
  }
});
// Without the supervisor nobody connects any more.
process.on("disconnect", stop);
// What is handed over meanwhile comes before its answer, which is to stop.
process.on("SIGTERM", () => {
  tell({ kind: "leaving" });
  setTimeout(stop, LEAVE_MS).unref();
});
process.on("SIGINT", () => {});
process.on("SIGHUP", () => {});

async function serve({ config, place, asJson }: Start): Promise<void> {
  const printed: string[] = [];
  const noted: string[] = [];
  try {
    await serveUntilTold(async () => {
      const app = await startApp(config, { print: (line) => printed.push(line), place });
      serving.app = app;
      tell({ kind: "ready", lines: printed.join("\n") });
      return app;
    }, toldToStop);
    process.exit(exitStatus.ok);
  } catch (error) {
    const status = reportError(error, terminalInto(noted), { asJson });
    tell({ kind: "failed", notes: noted, status }, () => process.exit(status));
  }
}

/** What is written to its stderr is kept, and looks as it would there. */
function terminalInto(noted: string[]): ReturnType<typeof createTerminal> {
  const { stdin, stdout, stderr } = process;
  const kept = Object.assign(Object.create(stderr), {
    isTTY: stderr.isTTY,
    write: (line: string) => noted.push(line.replace(/\n$/, "")) > 0,
  });
  return createTerminal({ env: processEnvironment, stdin, stdout, stderr: kept });
}

let open = 0;
let telling: NodeJS.Timeout | undefined;

function take(socket: Socket): void {
  countBy(1);
  socket.once("close", () => countBy(-1));
  if (serving.app === undefined) socket.destroy();
  else serving.app.accept(socket);
}

function countBy(change: 1 | -1): void {
  open += change;
  telling ??= setTimeout(() => {
    telling = undefined;
    tell({ kind: "connections", open });
  }, CONNECTIONS_EVERY_MS).unref();
}

async function answer({ id, what }: { id: number; what: Question }): Promise<void> {
  const { app } = serving;
  const metrics = what === "metrics" && app !== undefined ? await app.sampleMetrics() : [];
  tell({ kind: "answer", id, answer: { isServing: app?.isServing() ?? false, metrics } });
}

/** Where the supervisor is gone, nobody is there to be told. */
function tell(report: Report, onTold: () => void = () => {}): void {
  if (process.connected) process.send?.(report, undefined, {}, onTold);
  else onTold();
}
