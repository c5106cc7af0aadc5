import { styleText } from "node:util";
import Table from "cli-table3";
import type { Environment } from "../config.ts";

/** Where a command reads and writes. */
export interface Terminal {
  readonly env: Environment;
  /** All of stdin, as text. */
  readStdin(): Promise<string>;
  readonly stdinIsTerminal: boolean;
  /** A line on stdout: the result. */
  print(line: string): void;
  /** A line on stderr: all that a script does not want in the result. */
  note(line: string): void;
  /** Colours for stdout; the text itself where there are none. */
  style(format: Format, text: string): string;
  /** Colours for stderr. */
  noteStyle(format: Format, text: string): string;
}

export type Format = "bold" | "dim" | "red" | "green" | "yellow";

type Output = NodeJS.WritableStream & { readonly isTTY?: boolean };
type Input = AsyncIterable<string | Buffer> & { readonly isTTY?: boolean };

export interface TerminalStreams {
  readonly env: Environment;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** Later Node versions would look at this process's stdout; whether there are colours is decided here. */
const styled: (format: Format, text: string, options: { validateStream: boolean }) => string = styleText;

/** Colour only on a terminal, and not where NO_COLOR is set (https://no-color.org) or TERM is "dumb". */
export function createTerminal(streams: TerminalStreams): Terminal {
  const { env, stdin, stdout, stderr } = streams;
  const plain = (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
  const styleFor = (stream: Output) => (format: Format, text: string) =>
    stream.isTTY === true && !plain ? styled(format, text, { validateStream: false }) : text;
  return {
    env,
    stdinIsTerminal: stdin.isTTY === true,
    async readStdin() {
      const chunks: Buffer[] = [];
      for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks).toString("utf8");
    },
    print: (line) => void stdout.write(`${line}\n`),
    note: (line) => void stderr.write(`${line}\n`),
    style: styleFor(stdout),
    noteStyle: styleFor(stderr),
  };
}

/** Columns under a head, without rules: fit for reading, and for cut and awk. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return layOut([head.map((cell) => cell.toUpperCase()), ...rows]);
}

/** Names and values, a pair a line; pairs with an empty value are left out. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  return layOut(facts.filter(([, value]) => value !== ""));
}

/** The text with control characters shown as U+FFFD: names are the users' own, and could hold escape codes. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "\ufffd");
}

function layOut(rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const table = new Table({
    chars: noRules,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
  });
  table.push(...rows.map((row) => row.map(printable)));
  return table.toString().replace(/ +$/gm, "");
}

const noRules = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "",
};
