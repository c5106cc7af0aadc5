import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { MAX_FILE_BYTES } from "./yaml-source.ts";

/** A policy file that is there, and by what a change of it shows. */
export interface PolicyFile {
  /** The folder as it was given, and the name. */
  readonly path: string;
  /** Another after every write, rename or swap of a symbolic link. */
  readonly version: string;
  readonly size: number;
}

/**
 * The policy files of a folder, by name: *.yaml and *.yml, but not the *.test.yaml beside them and no
 * hidden ones. Symbolic links are followed. Throws the system's error when the folder cannot be read.
 */
export async function listPolicyFiles(folder: string): Promise<readonly PolicyFile[]> {
  const names = (await readdir(folder)).filter(isPolicyFileName).sort();
  const files: PolicyFile[] = [];
  for (const name of names) {
    const file = await lookAt(join(folder, name));
    if (file !== undefined) files.push(file);
  }
  return files;
}

/** Undefined: no file. One that cannot be looked at is one all the same: reading it says why not. */
async function lookAt(path: string): Promise<PolicyFile | undefined> {
  try {
    const status = await stat(path, { bigint: true });
    if (!status.isFile()) return undefined;
    const version = `${status.ino}:${status.size}:${status.mtimeNs}:${status.ctimeNs}`;
    return { path, version, size: Number(status.size) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { path, version: code, size: 0 };
  }
}

function isPolicyFileName(name: string): boolean {
  return /^[^.].*\.ya?ml$/.test(name) && !/\.test\.ya?ml$/.test(name);
}

/** The file's text, or why it is none: too large, or not UTF-8. Throws the system's error when it cannot be read. */
export async function readPolicyFile(file: PolicyFile): Promise<{ text: string } | { fault: string }> {
  if (file.size > MAX_FILE_BYTES) return { fault: `The file is larger than ${MAX_FILE_BYTES} bytes.` };
  const bytes = await readFile(file.path);
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { fault: "The file is not UTF-8 text." };
  }
}
