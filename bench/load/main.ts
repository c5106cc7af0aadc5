// The load process: see load-job.ts. A process of its own, so that what it costs is not the server's.
import { createInterface } from "node:readline";
import { createGrpcLoadClient } from "./grpc-load-client.ts";
import { createHttpLoadClient } from "./http-load-client.ts";
import type { LoadClient, LoadPhase } from "./load-client.ts";
import type { LoadJob, LoadProcessResult } from "./load-job.ts";

let client: LoadClient | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  if (client === undefined) {
    client = await createClient(JSON.parse(line) as LoadJob);
    answer("connected");
  } else {
    answer(await run(client, JSON.parse(line) as LoadPhase));
  }
}
client?.close();

function createClient(job: LoadJob): Promise<LoadClient> {
  if (job.protocol === "http") return createHttpLoadClient(job);
  return createGrpcLoadClient({
    ...job,
    messages: job.messages.map((message) => Buffer.from(message, "base64")),
    expectedPrefix: Buffer.from(job.expectedPrefix, "hex"),
  });
}

async function run(running: LoadClient, phase: LoadPhase): Promise<LoadProcessResult> {
  const before = process.cpuUsage();
  const result = await running.run(phase);
  const { user, system } = process.cpuUsage(before);
  return { ...result, cpuMs: (user + system) / 1000 };
}

function answer(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
