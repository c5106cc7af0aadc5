// Started by run.ts as a process of its own, so that it is slowed by the server and not by who attacks it. Each message
// asks how long its Checks have taken since the last.
import { startCheckClient } from "../http2/attacks/check-client.ts";

/** From one Check to the next: it is to wait for the server, and not the server for it. */
const PAUSE_MS = 2;

const { GOOD_URL: url = "", GOOD_TOKEN: token = "", GOOD_KEY: key = "" } = process.env;
let taken: number[] = [];
const client = startCheckClient({ url, token, key, onAnswer: (ms) => taken.push(ms), pauseMs: PAUSE_MS });

process.on("message", () => {
  // Throws what was wrong with an answer: that ends this process, and run.ts with it.
  client.answers();
  const sorted = taken.sort((a, b) => a - b);
  taken = [];
  const p99Ms = sorted[Math.floor(sorted.length * 0.99)] ?? Number.POSITIVE_INFINITY;
  process.send?.({ count: sorted.length, p99Ms });
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
