import { z } from 'zod';
import { isJsonObject } from '../json/canonical-json.js';
import { parseJson } from '../json/parse-json.js';
import { isBroken } from '../json/sealed.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';

const noted = z.object({ rules: z.string() });
/** Longest notes that are read. */
const MAX_BYTES = 1 << 18;

/**
 * The date of the newest change of the rules that all parts of a run were made by, as the notes of its plan have it; null where
 * they do not say or are damaged, as in runs by older rules and in those that were begun by them.
 * @param out the run's output folder
 */
export async function notedRules(
  storage: Storage,
  out: string,
  kind: 'scored' | 'packed',
): Promise<string | null> {
  const path = joinPath(out, '.workers', `plan-${kind}.json`);
  try {
    const { size } = await storage.stat(path);
    if (size > MAX_BYTES) return null;
    const text = Buffer.from(await storage.readRange(path, 0, size)).toString('utf8');
    const json = parseJson(text);
    return isJsonObject(json) && isBroken(json) ? null : noted.parse(json).rules;
  } catch {
    return null;
  }
}
