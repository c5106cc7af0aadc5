/** Progress goes to stderr, so that stdout holds the table alone. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
