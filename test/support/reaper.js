// Runs beside a test process and outlives it: whatever that process started and did not end itself, however
// it died (also by SIGKILL), is ended here, and its temp folders are removed.
//
// stdin, one JSON object a line:
//   {"pid": 12, "signal": "SIGQUIT"}   end this process   {"forget": 12}   it has ended
//   {"folder": "/tmp/x"}               remove this folder
// The end of stdin means that the test process is gone.
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";

const processes = new Map();
const folders = new Set();

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.forget !== undefined) processes.delete(message.forget);
  if (message.pid !== undefined) processes.set(message.pid, message.signal);
  if (message.folder !== undefined) folders.add(message.folder);
}

for (const [pid, signal] of processes) {
  send(pid, signal);
  // A process that a test paused takes its signal only when it goes on.
  send(pid, "SIGCONT");
}
const giveUpAt = Date.now() + 3000;
while ([...processes.keys()].some((pid) => send(pid, 0)) && Date.now() < giveUpAt) {
  await new Promise((resolve) => setTimeout(resolve, 20));
}
for (const pid of processes.keys()) send(pid, "SIGKILL");
for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });

function send(pid, signal) {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error.code === "ESRCH") return false;
    throw error;
  }
}
