import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fatalError, firstLine } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { readText } from '../storage/read-text.js';

type Json = Readonly<Record<string, unknown>>;

/** The files beside a tokenizer.json that say something about it; null where there is none. */
export interface Companions {
  readonly folder: string;
  readonly tokenizerConfig: Json | null;
  readonly specialTokensMap: Json | null;
  readonly addedTokens: Json | null;
  readonly generationConfig: Json | null;
  readonly config: Json | null;
}

/** Longest file beside a tokenizer.json that is read: some repeat every added token. */
const MAX_COMPANION_BYTES = 64 * 2 ** 20;

/**
 * Reads what lies beside a tokenizer.json.
 * @throws TokensieveError fatal `bad-tokenizer` when one of them is no JSON
 */
export async function readCompanions(folder: string): Promise<Companions> {
  return {
    folder,
    tokenizerConfig: await readObject(join(folder, 'tokenizer_config.json')),
    specialTokensMap: await readObject(join(folder, 'special_tokens_map.json')),
    addedTokens: await readObject(join(folder, 'added_tokens.json')),
    generationConfig: await readObject(join(folder, 'generation_config.json')),
    config: await readObject(join(folder, 'config.json')),
  };
}

async function readObject(file: string): Promise<Json | null> {
  if (!existsSync(file)) return null;
  const text = await readText(file, MAX_COMPANION_BYTES).catch((cause: unknown) => {
    throw fatalError('bad-tokenizer', `${file}: ${firstLine(cause)}`, { cause });
  });
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw fatalError('bad-tokenizer', `${file}: not JSON: ${String(cause)}`, { cause });
  }
  return isRecord(json) ? json : null;
}

export const isRecord = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
