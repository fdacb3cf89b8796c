import { basename } from 'node:path';
import { z } from 'zod';
import { oneOrMore, withShorthand } from '../../config/shorthand.js';

const SET_NAME = /^[^=/\s][^=/]{0,127}$/;

/**
 * Evaluation sets, patterns of shards by name. From a command line each is `NAME=GLOB`, several with one name being one
 * set, or a file, folder or glob by itself, which is a set of its own name (`data/gsm8k.jsonl.gz` is `gsm8k`).
 */
export const evaluationSets = withShorthand(
  z
    .record(
      z.string().regex(SET_NAME, 'expected a name of a set, of at most 128 characters without = and /'),
      z.array(z.string().min(1)).min(1),
    )
    .refine((sets) => Object.keys(sets).length > 0, { message: 'name at least one set' }),
  oneOrMore(z.string().min(1)),
  (value) => {
    const given = typeof value === 'string' ? [value] : value;
    if (!Array.isArray(given)) return value;
    const sets = new Map<string, string[]>();
    for (const one of given.map(String)) {
      const [, name = ownName(one), pattern = one] = /^([^=/]+)=(.+)$/s.exec(one) ?? [];
      sets.set(name, [...(sets.get(name) ?? []), pattern]);
    }
    return Object.fromEntries(sets);
  },
);

const ownName = (path: string): string =>
  basename(path)
    .replace(/\.(?:parquet|(?:jsonl|ndjson|json)(?:\.\w+)?)$/i, '')
    .replaceAll('=', '-')
    .slice(0, 128) || 'evaluation';
