import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout that the tests stand in. */
export const repositoryFolder = fileURLToPath(new URL("../../", import.meta.url));

export function inRepository(...parts: string[]): string {
  return join(repositoryFolder, ...parts);
}
