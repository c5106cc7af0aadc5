/**
 * The names that a pattern stands for: "*" is any run of characters, everything else itself. In the
 * order of `names`.
 */
export function matchingNames(pattern: string, names: Iterable<string>): string[] {
  if (!isPattern(pattern)) return [...names].filter((name) => name === pattern);
  const parts = pattern.split("*");
  return [...names].filter((name) => matches(parts, name));
}

export function isPattern(text: string): boolean {
  return text.includes("*");
}

/** Greedy from the left: the first part begins the name, the last ends it, the others follow in order. */
function matches(parts: readonly string[], name: string): boolean {
  const first = parts[0] as string;
  const last = parts.at(-1) as string;
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last))
    return false;
  let position = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, position);
    if (found === -1) return false;
    position = found + part.length;
  }
  return position <= name.length - last.length;
}
