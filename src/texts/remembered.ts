/**
 * Where a run's text and its tokenizer lie, as its folder remembers. Whoever made the folder wrote that, so it is judged:
 * paths on local disk are looked at, and what lies there counts where its digest is that of what was scored; nothing is
 * asked of another machine for the word of a folder.
 */
import { z } from 'zod';
import type { RunNotes } from '../dataset/run-notes.js';
import { redacted } from '../redacted.js';
import { schemeOf } from '../storage/path.js';

const path = z.string().min(1);

/** What a program that judged a run's paths itself, such as the service, gives in their place. */
export const rememberedSettings = z
  .strictObject({
    shards: z.array(path).meta({ description: 'Shards that texts may be read from; none: no texts' }),
    tokenizer: path.nullable().meta({ description: 'Tokenizer that spells the ids; null: none' }),
  })
  .optional()
  .meta({ description: 'In place of the paths that the run remembers: for programs that judge them' });

export type RememberedSettings = z.output<typeof rememberedSettings>;

export interface Remembered {
  /** Null where none are known that may be opened. */
  readonly shards: readonly string[] | null;
  readonly tokenizer: string | null;
  /** In words, why the shards that the folder remembers are not opened. */
  readonly notOpened: string | null;
}

export function rememberedPlaces(notes: RunNotes | null, judged: RememberedSettings): Remembered {
  if (judged !== undefined) {
    const { shards, tokenizer } = judged;
    return { shards: shards.length > 0 ? shards : null, tokenizer, notOpened: null };
  }
  if (notes === null) return { shards: null, tokenizer: null, notOpened: null };
  const { shards, tokenizer } = notes;
  const remote = shards.find((one) => schemeOf(one) !== null);
  return {
    shards: remote === undefined ? shards : null,
    tokenizer: tokenizer !== null && schemeOf(tokenizer) === null ? tokenizer : null,
    notOpened:
      remote === undefined
        ? null
        : `the run's folder says that its text is at ${redacted(remote)}, and no folder's word opens a URL; name its shards with --shards`,
  };
}
