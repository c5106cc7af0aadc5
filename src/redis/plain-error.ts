/** The driver's error without what it hangs onto it: the command's arguments, which can be a password. */
export function plainError(error: unknown): Error {
  return new Error(error instanceof Error ? error.message : String(error));
}
