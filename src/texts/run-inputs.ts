import { existsSync } from 'node:fs';
import type { RowsRecipe } from '../dataset/recipe.js';
import { type RunNotes, readRunNotes } from '../dataset/run-notes.js';
import { usageError } from '../errors.js';
import { folderOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { ControlTokens } from '../tokenizer/control-tokens.js';
import { hashTokenizer } from '../tokenizer/open.js';
import { type Remembered, type RememberedSettings, rememberedPlaces } from './remembered.js';
import { readTokenTexts, type TokenTexts } from './token-texts.js';

/** What is known of a run beside its files. */
export interface RunInputs {
  readonly notes: RunNotes | null;
  /** Where the text is, as far as the run's folder may say it. */
  readonly remembered: Remembered;
  /** Path of the run's tokenizer, and its texts; null where none is known. */
  readonly tokenizer: { readonly path: string; readonly texts: TokenTexts } | null;
  readonly tokenizerHash: string;
  readonly controlTokens: ControlTokens;
}

/**
 * The notes of a run and its tokenizer: the one that is named, else the one that the run remembers if it is still
 * the same.
 * @param rows the rows' recipe
 * @param judged in place of the paths that the run remembers
 * @throws TokensieveError (usage) `tokenizers-differ` where another tokenizer is named; (fatal) `no-tokenizer`,
 *   `bad-tokenizer`
 */
export async function findRunInputs(
  storage: Storage,
  run: string,
  { tokenizer: recipe }: RowsRecipe,
  named: string | undefined,
  judged?: RememberedSettings,
): Promise<RunInputs> {
  const notes = (await readRunNotes(storage, run)) ?? (await readRunNotes(storage, folderOf(run)));
  const hash = recipe.hash ?? '';
  const controlTokens = recipe.control_tokens ?? 'text';
  const places = rememberedPlaces(notes, judged);
  const known = { notes, remembered: places, tokenizerHash: hash, controlTokens } as const;
  if (named !== undefined) {
    const found = await hashTokenizer(named, controlTokens);
    if (found !== hash) {
      throw usageError(
        'tokenizers-differ',
        `${named}: is not the tokenizer of the run (${found.slice(0, 12)}…, the run has ${hash.slice(0, 12) || 'none'}…); name the one that it was scored with`,
      );
    }
    return { ...known, tokenizer: { path: named, texts: await readTokenTexts(named) } };
  }
  const remembered = places.tokenizer;
  if (remembered === null || !existsSync(remembered)) return { ...known, tokenizer: null };
  const same = (await hashTokenizer(remembered, controlTokens).catch(() => null)) === hash;
  return {
    ...known,
    tokenizer: same ? { path: remembered, texts: await readTokenTexts(remembered) } : null,
  };
}
