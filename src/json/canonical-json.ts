import { createHash } from 'node:crypto';
import { fatalError } from '../errors.js';

/** An object of plain JSON data; a property that is `undefined` counts as absent. */
export type JsonObject = Readonly<Record<string, unknown>>;

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * JSON with one spelling per value: keys sorted by UTF-16 code unit, no white space, numbers as ECMAScript
 * prints them (RFC 8785, JSON Canonicalization Scheme). Equal data gives equal bytes on any machine.
 * Throws a fatal error for what JSON cannot hold: NaN, infinities, big integers, functions, class instances.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (isJsonObject(value) && isPlain(value)) {
    const members: string[] = [];
    for (const key of Object.keys(value).sort()) {
      const member = value[key];
      if (member !== undefined) members.push(`${JSON.stringify(key)}:${canonicalJson(member)}`);
    }
    return `{${members.join(',')}}`;
  }
  const found = typeof value === 'object' ? 'a class instance' : `${typeof value} ${String(value)}`;
  throw fatalError('not-json', `a value to be stored as JSON is ${found}; expected plain JSON data`);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** sha256 of the canonical JSON, in hex. */
export const hashJson = (value: unknown): string =>
  createHash('sha256').update(canonicalJson(value), 'utf8').digest('hex');
