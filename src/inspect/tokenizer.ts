import { openTokenizer, type TokenizerDescription } from '../tokenizer/open.js';

export interface TokenizerInspection extends TokenizerDescription {
  readonly kind: 'tokenizer';
}

/**
 * What a run would make of a tokenizer here, with the engine that `auto` takes.
 * @param path a tokenizer.json or the folder that holds one
 * @throws TokensieveError (fatal) `no-tokenizer`, `bad-tokenizer`, `unsupported-tokenizer`
 */
export async function inspectTokenizer(path: string): Promise<TokenizerInspection> {
  // Nothing is encoded: one worker thread will do.
  const tokenizer = await openTokenizer({ path, workers: 1 });
  await tokenizer.close();
  return { kind: 'tokenizer', ...tokenizer.description };
}
