/** The most that one repetition may stand for. */
const MAX_REPETITION = 256;
/** Shorter secrets could be guessed, or be ordinary words. */
const MIN_SECRET_LENGTH = 16;

/** One character: a class, an escape, or itself. Groups, alternatives, look-around and the dot are none. */
const ATOM = /\[(?:[A-Za-z0-9_]|\\[-\\\]._~+/=]|[-._~+/=])+\]|\\[dw]|\\[-._~+/=$]|[A-Za-z0-9_~=/-]/y;
const REPETITION = /\{(\d{1,4})(,(\d{1,4}))?\}/y;

/**
 * Compiles a pattern of imported secrets, or says why not. What is let through matches whole secrets of
 * a bounded length, and backtracks over at most two bounded repetitions: no secret makes it slow.
 */
export function compileLegacyPattern(pattern: string): { pattern: RegExp } | { fault: string } {
  if (!pattern.startsWith("^") || !pattern.endsWith("$")) {
    return { fault: "it must match the whole secret: begin it with ^ and end it with $" };
  }
  const end = pattern.length - 1;
  let position = 1;
  let shortest = 0;
  let variable = 0;
  while (position < end) {
    ATOM.lastIndex = position;
    const atom = ATOM.exec(pattern)?.[0];
    if (atom === undefined) {
      return {
        fault: `${JSON.stringify(pattern.slice(position, position + 8))} is not allowed; use characters, classes such as [A-Za-z0-9], and bounded repetitions such as {32}, and write alternatives as patterns of their own`,
      };
    }
    position += atom.length;
    REPETITION.lastIndex = position;
    const repetition = REPETITION.exec(pattern);
    const [least, most] = bounds(repetition);
    if (least > most || most > MAX_REPETITION) {
      return {
        fault: `${repetition?.[0]} is not allowed; repeat from low to high, at most ${MAX_REPETITION} times`,
      };
    }
    position += repetition?.[0].length ?? 0;
    shortest += least;
    if (least !== most) variable += 1;
  }
  if (variable > 2) return { fault: "at most two repetitions may be of variable length" };
  if (shortest < MIN_SECRET_LENGTH) {
    return { fault: `it matches secrets of fewer than ${MIN_SECRET_LENGTH} characters` };
  }
  try {
    return { pattern: new RegExp(pattern) };
  } catch (error) {
    return { fault: (error as SyntaxError).message };
  }
}

function bounds(repetition: RegExpExecArray | null): [number, number] {
  if (repetition === null) return [1, 1];
  const least = Number(repetition[1]);
  if (repetition[2] === undefined) return [least, least];
  return [least, Number(repetition[3])];
}
