/**
 * Changes of which rows a shard gives. Parts tell by themselves what these touch: the reports of rows set aside, and the
 * names of shards, hold what is read otherwise now. So no version is raised, and clean parts stay as they are.
 */

import { isMissing, type ReadingFacts, type SetAside } from './facts.js';
import type { RuleChange, Touch } from './rule-change.js';

function change(name: string, look: (reading: ReadingFacts) => readonly Touch[]): RuleChange {
  return {
    name,
    date: '2026-11-30',
    stage: 'reading',
    version: null,
    touches: ({ reading }) => (isMissing(reading) ? { unknown: reading.missing } : look(reading)),
  };
}

/** Rows set aside that are read now: what the old report says of them, and what is said of the run. */
interface ReadNow {
  readonly name: string;
  readonly matches: (row: SetAside) => boolean;
  readonly what: (rows: number, shard: string) => string;
}

const READ_NOW: readonly ReadNow[] = [
  {
    name: 'nan-in-jsonl',
    matches: ({ reason, detail }) =>
      reason === 'bad-json' && /NaN|Infinity|No number after minus sign/.test(detail),
    what: (rows, shard) =>
      `rows with NaN or Infinity were set aside (${rows}, as in ${shard}), which are read now as Python's json reads them`,
  },
  {
    name: 'garbage-behind-gzip',
    matches: ({ shard, reason, detail }) =>
      reason === 'broken-shard' && /\.gz$/i.test(shard) && /incorrect header check/.test(detail),
    what: (_, shard) => `lines before the garbage behind the last gzip member of ${shard} may be missing`,
  },
  {
    name: 'large-pages',
    matches: ({ detail }) =>
      /page of \d+ bytes uncompressed, at most 268435456 are read(?! of this file)/.test(detail),
    what: (_, shard) => `pages above 256 MiB were set aside, as in ${shard}, which are read now`,
  },
];

/** The changes by which rows that an old report sets aside are read now, with how many of them each reads. */
export function readNow(
  rows: readonly SetAside[],
): readonly { readonly rule: string; readonly touch: Touch }[] {
  return READ_NOW.flatMap(({ name, matches, what }) => {
    const found = rows.filter(matches);
    const [first] = found;
    return first === undefined
      ? []
      : [{ rule: name, touch: { what: what(found.length, first.shard), results: 'rows that are missing' } }];
  });
}

/** Folders that Spark, pyarrow.dataset and datasets pass over, and files that are not finished. */
const PASSED_OVER = /(?:^|\/)[_.][^/]*(?:\/|$)|\.part$/;

export const READING_CHANGES: readonly RuleChange[] = [
  change('passed-over-folders', ({ shards, patterns }) => {
    const named = (shard: string): boolean =>
      (patterns ?? []).some((pattern) => pattern === shard || pattern.endsWith(`/${shard}`));
    const found = shards.filter((shard) => PASSED_OVER.test(shard) && !named(shard));
    return found.length === 0
      ? []
      : [
          {
            what: `${found.length} shard(s) of folders that are passed over now, as Spark and pyarrow do, were read (${found[0]}): documents may be there twice`,
            results: 'documents, and shares over all of them',
          },
        ];
  }),
  ...READ_NOW.map(({ name }) =>
    change(name, ({ setAside }) =>
      readNow(setAside).flatMap(({ rule, touch }) => (rule === name ? [touch] : [])),
    ),
  ),
  change('large-integers', ({ roundedColumns }) =>
    roundedColumns.length === 0
      ? []
      : [
          {
            what: `whole numbers beyond 2^53 in jsonl were rounded (column ${roundedColumns.join(', ')})`,
            results: 'kept columns; ids, losses and weights are right',
          },
        ],
  ),
];
