/** What speaks HTTP/2 in `tollgate serve`. */
export type Engine = "node" | "tollgate";

/** Those that the tests of the wire run on. */
export const ENGINES: readonly Engine[] = ["tollgate", "node"];

/** The arguments of `tollgate serve` for it. */
export const engineArgs: Readonly<Record<Engine, readonly string[]>> = {
  node: ["--http2", "node"],
  tollgate: ["--http2", "tollgate"],
};
