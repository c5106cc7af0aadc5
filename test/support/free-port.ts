import { createServer } from "node:net";

/** Below the ports that Linux (32768) and macOS (49152) give to clients, so that none takes it in between. */
const firstPort = 20_000;
const portCount = 12_000;

/** A TCP port of 127.0.0.1 that nobody listens on now. Another process may still take it first. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = firstPort + Math.floor(Math.random() * portCount);
    if (await isFree(port)) return port;
  }
  throw new Error(`found no free port between ${firstPort} and ${firstPort + portCount - 1} on 127.0.0.1`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE" || error.code === "EACCES") resolve(false);
      else reject(error);
    });
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}
