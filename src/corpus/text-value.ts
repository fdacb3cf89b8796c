/// <reference lib="es2024.string" />
/** What makes a text usable: present, not empty, not too long, and Unicode. */
import type { QuarantineReason } from './document.js';

export type TextValue =
  | { readonly ok: true; readonly text: string; readonly bytes: number }
  | { readonly ok: false; readonly reason: QuarantineReason; readonly detail: string };

const refuse = (reason: QuarantineReason, detail: string): TextValue => ({ ok: false, reason, detail });

// fatal: invalid bytes are never replaced by U+FFFD. ignoreBOM: a BOM is part of the text.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const NULL_TEXT: TextValue = refuse('null-text', 'the text is null');

/** A text from its UTF-8 bytes. */
export function textFromBytes(bytes: Uint8Array, maxTextBytes: number): TextValue {
  const refused = refuseLength(bytes.length, maxTextBytes);
  if (refused) return refused;
  try {
    return { ok: true, text: strict.decode(bytes), bytes: bytes.length };
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
      ? refuse('not-unicode', 'the text is not well-formed UTF-8')
      : refuse('oversized-text', `the text has ${bytes.length} bytes, more than a string can hold`);
  }
}

/** A text from a JSON value; escapes such as \ud800 can spell half a surrogate pair, which UTF-8 cannot. */
export function textFromJson(value: unknown, maxTextBytes: number): TextValue {
  if (value === null || value === undefined) return NULL_TEXT;
  if (typeof value !== 'string') {
    const { kind, holds } = describe(value);
    return refuse(holds ? 'nested-text' : 'not-a-string', `the text is ${kind}, expected a string`);
  }
  const bytes = Buffer.byteLength(value);
  const refused = refuseLength(bytes, maxTextBytes);
  if (refused) return refused;
  if (!value.isWellFormed()) return refuse('not-unicode', 'the text holds half a surrogate pair');
  return { ok: true, text: value, bytes };
}

/** What stands where a string should, and whether text may lie inside. */
function describe(value: unknown): { readonly kind: string; readonly holds: boolean } {
  if (typeof value !== 'object' || value === null) return { kind: `a JSON ${typeof value}`, holds: false };
  if (!Array.isArray(value)) return { kind: `a JSON object with ${membersOf(value)}`, holds: true };
  const [first] = value;
  return typeof first === 'object' && first !== null
    ? { kind: `an array of objects with ${membersOf(first)}`, holds: true }
    : { kind: 'an array', holds: false };
}

function membersOf(value: object): string {
  const names = Object.keys(value).slice(0, 4);
  return names.map((name) => JSON.stringify(name.slice(0, 64))).join(', ') || 'no members';
}

function refuseLength(bytes: number, maxTextBytes: number): TextValue | null {
  if (bytes === 0) return refuse('empty-text', 'the text is empty');
  if (bytes > maxTextBytes)
    return refuse('oversized-text', `the text has ${bytes} bytes, at most ${maxTextBytes} are taken`);
  return null;
}
