/** What a mistyped name was meant to be. */

/**
 * The name at most two edits away from `word` (one where it has three letters or fewer), or a third of its length if that is more;
 * of several as near the one that begins like it. Null when there is none, or when `word` is a name itself.
 */
export function closest(word: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(word.length > 3 ? 2 : 1, Math.floor(word.length / 3)) + 1;
  // A command line can be megabytes long; a flag is not.
  if (word.length > 64 || names.includes(word)) return null;
  for (const name of names) {
    // Half a name is what a hand that was too quick leaves: --prot is nearer to --port than to --p.
    const edits = distance(word, name) - (sorted(word) === sorted(name) ? 0.5 : 0);
    if (edits < least) {
      least = edits;
      best = name;
    }
  }
  return best;
}

const sorted = (word: string): string => [...word].sort().join('');

/** Levenshtein distance: insertions, deletions and replacements of characters. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
