/** ` Did you mean "x"?` for the candidate that is closest to a misspelt word, or an empty string. */
export function suggest(word: string, candidates: Iterable<string>): string {
  let closest: string | undefined;
  // A quarter of the letters may be wrong, and one of a short word: more is another word.
  let best = Math.max(2, Math.floor(word.length / 4) + 1);
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), best);
    if (distance < best) {
      best = distance;
      closest = candidate;
    }
  }
  return closest === undefined ? "" : ` Did you mean ${JSON.stringify(closest)}?`;
}

/** ` Did you mean …?`, else the names there are, as far as they are few enough to read. */
export function suggestOrList(word: string, candidates: Iterable<string>): string {
  const names = [...candidates];
  const suggestion = suggest(word, names);
  if (suggestion !== "" || names.length === 0) return suggestion;
  const shown = names.slice(0, 12).join(", ");
  return ` There is ${shown}${names.length > 12 ? `, and ${names.length - 12} more` : ""}.`;
}

/** Insertions, deletions, replacements and swaps of neighbours between two words; `limit` when not less. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (last[column - 1] as number) + (a[row - 1] === b[column - 1] ? 0 : 1);
      let distance = Math.min((last[column] as number) + 1, (current[column - 1] as number) + 1, replaced);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, (beforeLast[column - 2] as number) + 1);
      }
      current.push(distance);
    }
    beforeLast = last;
    last = current;
  }
  return Math.min(last[b.length] as number, limit);
}
