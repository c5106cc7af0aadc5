import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** A tool of the checkout's own, as `npm ci` installed it. */
export function binary(name: string): string {
  return join(root, "node_modules", ".bin", name);
}
