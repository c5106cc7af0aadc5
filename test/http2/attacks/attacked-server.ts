import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What a server that is attacked holds, and what it has done. */
export interface ServerReport {
  readonly connections: number;
  readonly streams: number;
  readonly queuedBytes: number;
  readonly timers: number;
  /** The largest resident set so far. */
  readonly peakBytes: number;
  /** Requests of the slow handler now, and at most so far. */
  readonly working: number;
  readonly mostWorking: number;
  /** That `onConnectionError` was told since the last report. */
  readonly faults: readonly string[];
  /** How often `onReset` was told what. */
  readonly resets: Readonly<Record<string, number>>;
}

export interface AttackedServer {
  readonly port: number;
  readonly pid: number;
  report(): Promise<ServerReport>;
  stop(): Promise<void>;
}

/** A bare listener in a process of its own, with the bounds of attacked-bounds.ts. */
export async function startAttackedServer(): Promise<AttackedServer> {
  const script = fileURLToPath(new URL("attacked.process.ts", import.meta.url));
  const child = fork(script, { execArgv: ["--import", "tsx"] });
  const exited = once(child, "exit");
  const next = async () => {
    const [message] = (await once(child, "message")) as [unknown];
    return message;
  };
  const port = (await next()) as number;
  let asked: Promise<unknown> = Promise.resolve();
  return {
    port,
    pid: child.pid ?? 0,
    report() {
      const before = asked;
      const answer = (async () => {
        await before;
        const coming = next();
        child.send("report");
        return (await coming) as ServerReport;
      })();
      asked = answer;
      return answer;
    },
    async stop() {
      child.disconnect();
      await exited;
    },
  };
}
