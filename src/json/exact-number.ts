/**
 * Numbers as a file spells them. JavaScript reads 1610521604143693812 as ...800, 1e400 as Infinity, 1.0 as 1 and -0 as 0: what is
 * carried from a file to another keeps its digits instead.
 */

/** A number of a JSON text that JavaScript would spell otherwise, or NaN, Infinity or -Infinity as Python's json writes them. */
export class ExactNumber {
  constructor(readonly literal: string) {}

  /** As a string, where something spells it that knows no exact numbers: no digit is lost. */
  toJSON(): string {
    return this.literal;
  }

  toString(): string {
    return this.literal;
  }
}

/** The number that a literal spells: a JavaScript number where that is spelled so again. */
export function exactNumber(literal: string): number | ExactNumber {
  const value = Number(literal);
  return Number.isFinite(value) && JSON.stringify(value) === literal ? value : new ExactNumber(literal);
}

/**
 * JSON text of a value with exact numbers in it. What JSON cannot spell (NaN, infinities) is a string of that name.
 * @param value plain JSON data, nested no deeper than a recursive function takes (`isDeeper`)
 */
export function exactJson(value: unknown): string {
  if (value instanceof ExactNumber)
    return /^-?\d/.test(value.literal) ? value.literal : JSON.stringify(value.literal);
  if (typeof value === 'number') return jsonOfNumber(value);
  if (Array.isArray(value)) return `[${value.map(exactJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}:${exactJson(member)}`);
  return `{${members.join(',')}}`;
}

/** Text of a value that stands by itself, as in a column of text: strings and what is no finite number without quotes. */
export function exactText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof ExactNumber) return value.literal;
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : exactJson(value);
}

function jsonOfNumber(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  return Number.isFinite(value) ? JSON.stringify(value) : JSON.stringify(String(value));
}
