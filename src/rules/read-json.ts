import { parseJson } from '../json/parse-json.js';
import { readText } from '../storage/read-text.js';
import type { Config } from './facts.js';

/** Longest file that is read: added tokens of some tokenizers take megabytes. */
const MAX_BYTES = 256 * 2 ** 20;

/** An object of a JSON file; null where there is no such file, or another thing in it. */
export async function readObject(path: string): Promise<Config | null> {
  try {
    const value = parseJson(await readText(path, MAX_BYTES));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

export const isObject = (value: unknown): value is Config =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
