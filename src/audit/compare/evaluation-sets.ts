import { basename } from 'node:path';
import type { OverlapSources } from './overlap.js';

/**
 * Evaluation sets as they are named on a command line: `NAME=GLOB`, several with one name being one set, or a file,
 * folder or glob by itself, which is a set of its own name (`data/gsm8k.jsonl.gz` is `gsm8k`).
 * @param text column of the text; the default one where it is absent
 */
export function evaluationSets(given: readonly string[], text?: string): OverlapSources['evaluation'] {
  const sets = new Map<string, string[]>();
  for (const one of given) {
    const [, name = ownName(one), pattern = one] = /^([A-Za-z0-9][\w.-]*)=(.+)$/s.exec(one) ?? [];
    sets.set(name, [...(sets.get(name) ?? []), pattern]);
  }
  return [...sets].map(([name, patterns]) => ({ name, patterns, ...(text !== undefined && { text }) }));
}

const ownName = (path: string): string =>
  basename(path).replace(/\.(?:parquet|(?:jsonl|ndjson|json)(?:\.\w+)?)$/i, '') || path;
