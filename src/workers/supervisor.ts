import { createServer } from "node:net";
import { type ExitStatus, exitStatus } from "../cli/exit.ts";
import type { Terminal } from "../cli/terminal.ts";
import type { Config } from "../config.ts";
import { addressText, listenOn } from "../http2/listen-address.ts";
import { createLog } from "../log.ts";
import { createMetricsListener, createSupervisorMetrics } from "../metrics.ts";
import { createHandover } from "./handover.ts";
import { createMergedMetrics } from "./merged-metrics.ts";
import { listenToSignals } from "./signals.ts";
import { createTeam } from "./team.ts";
import { type StartOutcome, startWorkerProcess } from "./worker-process.ts";

/** How long a worker may take to end, besides the grace of calls in flight; longer than it takes for itself. */
const END_MS = 6000;

export interface SupervisorOptions {
  readonly terminal: Terminal;
  /** What each worker's process runs. */
  readonly workerProgram: string;
  /** Errors of a start are told as JSON. */
  readonly asJson: boolean;
}

/**
 * Serves with `config.workers` processes, until SIGTERM or SIGINT; answers the exit status. This process
 * listens and hands connections over, starts a worker anew that ends, and answers for all on the port of
 * metrics; no request passes through it. A start that fails is told once. Throws an Error where it cannot
 * listen.
 */
export async function supervise(config: Config, options: SupervisorOptions): Promise<ExitStatus> {
  const log = createLog({ level: config.logLevel });
  const handover = createHandover();
  const server = createServer({
    pauseOnConnect: true,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  });
  server.on("connection", (socket) => {
    socket.on("error", () => socket.destroy());
    handover.give(socket);
  });
  const address = await listenOn(server, config.listen);
  // A failed accept (no file descriptor is left) comes here; unheard, it would end the process.
  server.on("error", (error) => log.debug({ err: error }, "connection failed"));

  const metrics = createSupervisorMetrics();
  const merged = createMergedMetrics(metrics.registry);
  const team = createTeam({
    size: config.workers,
    log,
    startWorker(number) {
      const worker = startWorkerProcess({
        program: options.workerProgram,
        config,
        place: { worker: number, address },
        asJson: options.asJson,
        onConnections: (open) => handover.count(worker, open),
        onLeaving() {
          log.info({ worker: number, pid: worker.pid }, "a worker was told to stop");
          handover.remove(worker);
          worker.stop();
        },
      });
      return worker;
    },
    onServing: handover.add,
    onEnded(worker, number) {
      handover.remove(worker);
      merged.end(`${number}`);
    },
    onRestart: (number) => metrics.onRestart(`${number}`),
  });
  metrics.observeServing(() => team.serving.size);

  /** What a worker that stands still has counted is known from before. */
  async function scrape(): Promise<string> {
    await Promise.all(
      [...team.serving].map(async ([number, worker]) => {
        const answer = await worker.ask("metrics");
        const isThere = team.serving.get(number) === worker;
        if (answer !== undefined && isThere) merged.take(`${number}`, answer.metrics);
      }),
    );
    return merged.text();
  }

  /** All that live, of which there is one at least. */
  async function isServing(): Promise<boolean> {
    const answers = await Promise.all([...team.serving.values()].map((worker) => worker.ask("health")));
    return answers.length > 0 && answers.every((answer) => answer?.isServing === true);
  }

  const registry = { contentType: metrics.registry.contentType, metrics: scrape };
  const metricsListener = createMetricsListener({ registry, isServing });
  if (config.metricsListen !== undefined) {
    try {
      const bound = await metricsListener.listen(config.metricsListen);
      log.info({ address: addressText({ kind: "tcp", ...bound }) }, "metrics are served");
    } catch (error) {
      server.close();
      throw error;
    }
  }

  const signals = listenToSignals({
    onReload() {
      for (const worker of team.serving.values()) worker.reload();
    },
  });
  const outcome = await Promise.race([team.start(), signals.told]);
  if (outcome?.kind === "ready") {
    options.terminal.print(outcome.lines);
    await signals.told;
  }

  server.close();
  handover.close();
  const cutShort = (why: string) => log.warn({ workers: team.cutShort() }, why);
  const timer = setTimeout(() => cutShort("workers have not ended in time"), config.graceMs + END_MS);
  signals.onToldAgain(() => cutShort("told to stop again: what is in flight is cut off"));
  const ended = await team.stop();
  clearTimeout(timer);
  await metricsListener.close();
  log.info("stopped");
  if (outcome !== undefined && outcome.kind !== "ready") return tellFailure(outcome, options.terminal);
  return ended === "in order" ? exitStatus.ok : exitStatus.failed;
}

/** The one error of a start that failed; answers the status that the process exits with for it. */
function tellFailure(outcome: Exclude<StartOutcome, { kind: "ready" }>, terminal: Terminal): ExitStatus {
  const notes = outcome.kind === "failed" ? outcome.notes : ["tollgate: a worker ended before it was ready"];
  for (const note of notes) terminal.note(note);
  return outcome.kind === "failed" ? outcome.status : exitStatus.failed;
}
