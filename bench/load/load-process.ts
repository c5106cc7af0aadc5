import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LoadPhase } from "./load-client.ts";
import type { LoadJob, LoadProcessResult } from "./load-job.ts";

export interface LoadProcess {
  run(phase: LoadPhase): Promise<LoadProcessResult>;
  stop(): void;
}

/** Starts the load process and answers when its connections are open. */
export async function startLoadProcess(job: LoadJob): Promise<LoadProcess> {
  const script = fileURLToPath(new URL("main.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script], { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (value: unknown): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify(value)}\n`);
    const { value: line, done } = await answers.next();
    if (done === true) throw new Error("the load process ended; what it printed stands above");
    return JSON.parse(line);
  };
  await ask(job);
  return {
    run: async (phase) => (await ask(phase)) as LoadProcessResult,
    stop: () => child.stdin.end(),
  };
}
