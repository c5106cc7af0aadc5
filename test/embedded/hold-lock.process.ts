import { once } from "node:events";
import { lockFolder } from "../../src/embedded/lock.ts";

// Tries to lock the folder when told to, says how that went, and keeps what it got until it is killed.
process.stdout.write("ready\n");
await once(process.stdin, "data");
try {
  lockFolder(process.argv[2] ?? "");
  process.stdout.write("held\n");
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
}
