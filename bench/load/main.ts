// The load process: see load-job.ts. A process of its own, so that what it costs is not the server's.
import { createInterface } from "node:readline";
import type { LoadBounds, LoadClient } from "./closed-loop.ts";
import { createHttpLoadClient } from "./http-load-client.ts";
import { createLoadClient } from "./load-client.ts";
import type { LoadJob } from "./load-job.ts";

let client: LoadClient | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  if (client === undefined) {
    client = await createClient(JSON.parse(line) as LoadJob);
    answer("connected");
  } else {
    answer(await client.run(JSON.parse(line) as LoadBounds));
  }
}
client?.close();

function createClient(job: LoadJob): Promise<LoadClient> {
  if (job.protocol === "http") return createHttpLoadClient(job);
  return createLoadClient({
    ...job,
    messages: job.messages.map((message) => Buffer.from(message, "base64")),
    expectedPrefix: Buffer.from(job.expectedPrefix, "hex"),
  });
}

function answer(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
