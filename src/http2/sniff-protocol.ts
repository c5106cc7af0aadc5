import type { Socket } from "node:net";

/** RFC 9113 3.4: how a client with prior knowledge of HTTP/2 begins. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export type Protocol = "http/1.1" | "h2";

/**
 * Waits for as many first bytes as tell HTTP/2 from anything else, puts them back, and tells which. What
 * is not the whole preface is HTTP/1.1's, whose parser refuses what it cannot read. A socket that stays
 * silent for `timeoutMs`, or ends, is closed, and nothing is told.
 */
export function sniffProtocol(
  socket: Socket,
  timeoutMs: number,
  onProtocol: (protocol: Protocol) => void,
): void {
  let first: Buffer = Buffer.alloc(0);
  const timer = setTimeout(giveUp, timeoutMs);
  socket.on("readable", onReadable);
  socket.on("end", giveUp);
  socket.on("error", giveUp);
  socket.on("close", stop);

  function stop(): void {
    clearTimeout(timer);
    socket.off("readable", onReadable);
    socket.off("end", giveUp);
    socket.off("close", stop);
  }

  function giveUp(): void {
    stop();
    socket.destroy();
  }

  function onReadable(): void {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    first = first.length === 0 ? chunk : Buffer.concat([first, chunk]);
    const compared = Math.min(first.length, PREFACE.length);
    const isPreface = first.compare(PREFACE, 0, compared, 0, compared) === 0;
    if (isPreface && compared < PREFACE.length) return;
    stop();
    socket.off("error", giveUp);
    socket.unshift(first);
    onProtocol(isPreface ? "h2" : "http/1.1");
  }
}
