/** The `metadata` column of web corpora: JSON, in some re-uploads a Python repr, now and then neither. */
import { parsePythonLiteral } from './python-literal.js';

/** Longest metadata that is looked into, in UTF-16 code units. */
const MAX_LENGTH = 2 ** 20;

/**
 * The object that a metadata value spells, or null when it spells none; never throws.
 * Takes an object as it is, a string of JSON (also with Python's NaN and Infinity), or the repr of a Python dict.
 */
export function parseMetadata(value: unknown): Record<string, unknown> | null {
  if (isRecord(value)) return value;
  if (typeof value !== 'string' || value.length > MAX_LENGTH) return null;
  const text = value.trim();
  if (!text.startsWith('{')) return null;
  const found = parseJson(text) ?? parsePythonLiteral(text);
  return isRecord(found) ? found : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' &&
  value !== null &&
  (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null);
