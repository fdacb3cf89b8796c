import { z } from 'zod';

/** The shards of a run, as `--shards` and the top of a pipeline file name them. */
export const shardPatterns = z.array(z.string().min(1)).min(1).meta({
  flag: 'shards',
  description: 'Shards: files, folders or globs of .parquet, .jsonl, .jsonl.gz, .jsonl.zst',
});

/** The one definition of `corpus:` in a pipeline file, of its flags and JSON Schema. Every field decides bytes and is fingerprinted. */
export const corpusSettings = z.strictObject({
  text: z.string().min(1).default('text').meta({
    flag: 'text-column',
    description: 'Column that holds a document’s text (StarCoderData: content)',
  }),
  keep: z.array(z.string().min(1)).max(256).default([]).meta({
    flag: 'keep-columns',
    description: 'Further columns to carry into the documents files (url, date, …)',
  }),
  max_text_bytes: z
    .int()
    .min(1)
    .max(1 << 30)
    .default(64 << 20)
    .meta({
      flag: 'max-text-bytes',
      description: 'A longer document is quarantined (UTF-8 bytes); so is a line of jsonl over 256 MiB',
    }),
  max_page_bytes: z
    .int()
    .min(1 << 20)
    .max(2 ** 31 - 1)
    .optional()
    .meta({
      flag: 'max-page-bytes',
      description:
        'Largest page of a parquet shard, uncompressed; a larger one is quarantined (default: 512 MiB, or 16 times the file if that is more)',
    }),
  part_bytes: z
    .int()
    .min(1 << 10)
    .max(1 << 30)
    .default(32 << 20)
    .meta({
      flag: 'part-bytes',
      description: 'Uncompressed text a part, the unit of work and resume (bytes)',
    }),
  limit: z
    .int()
    .min(1)
    .optional()
    .meta({ flag: 'limit', description: 'Score only the first N rows of each shard, for a first look' }),
});

export type CorpusSettings = Readonly<z.output<typeof corpusSettings>>;
