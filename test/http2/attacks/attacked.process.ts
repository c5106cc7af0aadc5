// Started by attacked-server.ts: a listener with small bounds and handlers for attacks, which tells its parent, when
// asked, what it holds.
import { ErrorCode } from "../../../src/http2/frames.ts";
import { createListener } from "../../../src/http2/listener.ts";
import type { ServerStream } from "../../../src/http2/stream.ts";
import { ATTACKED_BOUNDS } from "./attacked-bounds.ts";
import type { ServerReport } from "./attacked-server.ts";

const SLOW_MS = 200;
const ANSWER = Buffer.alloc(300, "a");
const LARGE_ANSWER = Buffer.alloc(1024 * 1024, "l");

let working = 0;
let mostWorking = 0;
const faults: string[] = [];
const resets: Record<string, number> = {};

function pathOf({ fields }: ServerStream): string {
  return fields[fields.indexOf(":path") + 1] ?? "";
}

function answer(stream: ServerStream, body: Uint8Array): void {
  stream.answer({ head: [":status", "200"], body });
}

function work(stream: ServerStream): void {
  working++;
  mostWorking = Math.max(mostWorking, working);
  setTimeout(() => {
    working--;
    answer(stream, ANSWER);
  }, SLOW_MS);
}

function onStream(stream: ServerStream): boolean {
  const path = pathOf(stream);
  if (path.startsWith("/node")) return false;
  let length = 0;
  let isServed = false;
  stream.receive({
    onData(bytes) {
      length += bytes.length;
    },
    onLast(bytes) {
      length += bytes.length;
      isServed = true;
      if (path === "/slow") work(stream);
      else if (path === "/large") answer(stream, LARGE_ANSWER);
      else if (path === "/length") answer(stream, Buffer.from(String(length)));
      else if (path === "/ok") answer(stream, ANSWER);
      else answer(stream, Buffer.from(JSON.stringify(stream.fields)));
    },
    onLate: () => stream.answer({ head: [":status", "408"], body: ANSWER }),
    // Its place is taken until the work is done, as it is for those who really serve.
    onAborted() {
      if (!isServed) stream.reset(ErrorCode.CANCEL);
    },
  });
  return true;
}

const listener = createListener({
  onStream,
  // It never looks at the body.
  onRequest(_, response) {
    setTimeout(() => {
      response.statusCode = 200;
      response.end("ok");
    }, 20);
  },
  bounds: ATTACKED_BOUNDS,
  onConnectionError: (error) => faults.push(error.message),
  onReset(code, by) {
    const name = `${by} ${code}`;
    resets[name] = (resets[name] ?? 0) + 1;
  },
});

function report(): ServerReport {
  return {
    connections: listener.http2?.connections() ?? 0,
    streams: listener.http2?.streams() ?? 0,
    queuedBytes: listener.http2?.queuedBytes() ?? 0,
    timers: process.getActiveResourcesInfo().filter((name) => name === "Timeout").length,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    working,
    mostWorking,
    faults: faults.splice(0),
    resets: { ...resets },
  };
}

process.on("message", () => process.send?.(report()));
process.on("disconnect", () => process.exit());
const address = await listener.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
process.send?.(address.kind === "tcp" ? address.port : 0);
