import { lstat, unlink } from "node:fs/promises";
import type { AddressInfo, Server } from "node:net";
import { connect } from "node:net";

/** Where to listen: a host and port (0: any free one), or a Unix socket's path. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** As a person writes it: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/x.sock`. */
export function addressText(address: ListenAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/**
 * Makes the server listen, and answers the address as bound. A Unix socket is readable and writable by
 * owner and group only; the file that a dead process left is taken over, that of a live one is not.
 * Throws an Error that names the address and what is wrong.
 */
export async function listenOn(server: Server, address: ListenAddress): Promise<ListenAddress> {
  try {
    if (address.kind === "unix") await clearStaleSocket(address.path);
    await bind(server, address);
  } catch (error) {
    throw new Error(`cannot listen on ${addressText(address)}: ${explain(error)}`, { cause: error });
  }
  if (address.kind === "unix") return address;
  const bound = server.address() as AddressInfo;
  return { kind: "tcp", host: bound.address, port: bound.port };
}

function bind(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const onListening = () => {
      server.off("error", reject);
      resolve();
    };
    if (address.kind === "tcp") {
      server.listen({ host: address.host, port: address.port }, onListening);
      return;
    }
    // Node binds within the call, so the file never stands with wider rights.
    const previous = process.umask(0o117);
    try {
      server.listen({ path: address.path }, onListening);
    } finally {
      process.umask(previous);
    }
  });
}

async function clearStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error("the file exists and is not a socket");
  if (await answers(path)) throw new Error("another process listens there");
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") resolve(false);
      else reject(error);
    });
  });
}

function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "EADDRINUSE":
      return "another process listens there";
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return "this machine has no such address";
    case "EACCES":
    case "EPERM":
      return "not permitted";
    case "ENOENT":
      return "the folder does not exist";
    default:
      return message;
  }
}
