/** The sampled documents as JSON for the page's script, within a size that no corpus can exceed. */
import {
  cutDocument,
  fairCap,
  type ReadingDocument,
  type ReadingTokens,
} from '../reading/reading-document.js';
import type { PageData, PageDocument } from './browser/page-data.js';

/** Bytes of JSON for all documents: the rest of the page takes less than what is left of 5 MB. */
export const MAX_DATA_BYTES = 3_800_000;

export interface ReadingData {
  /** JSON without a character that could end the element it stands in. */
  readonly json: string;
  /** The documents as they are in it: longer ones are cut where all together are too large. */
  readonly documents: readonly ReadingDocument[];
}

export function readingData(documents: readonly ReadingDocument[], most = MAX_DATA_BYTES): ReadingData {
  const costs = documents.map(tokenCosts);
  const cap = fairCap(
    costs.map((each) => each.reduce((sum, cost) => sum + cost, FRAME)),
    most,
  );
  const cut = documents.map((document, i) => cutDocument(document, tokensWithin(costs[i] ?? [], cap)));
  let maxWeight = 1;
  for (const { tokens } of cut) {
    for (const weight of tokens.weight ?? []) maxWeight = Math.max(maxWeight, hundredths(weight));
  }
  const data: PageData = { documents: cut.map(pageDocument), maxWeight };
  return { json: inert(JSON.stringify(data)), documents: cut };
}

/** Bytes of a document's JSON besides its tokens. */
const FRAME = 200;

/**
 * JSON that is safe within a script element, shown in an editor or searched by a program: what could be markup, ends a
 * line, turns the writing direction or is half a character is an escape.
 */
export const inert = (json: string): string =>
  json.replace(
    /[<>&\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

function pageDocument({ text, tokens }: ReadingDocument): PageDocument {
  const { ids, start, end, reference, current, weight } = tokens;
  const gaps: number[] = [];
  let last = 0;
  for (let token = 0; token < ids.length; token++) {
    const gap = (start[token] ?? 0) - last;
    if (gap !== 0) gaps.push(token, gap);
    last = end[token] ?? 0;
  }
  return {
    text,
    lengths: Array.from(end, (to, token) => to - (start[token] ?? 0)),
    gaps,
    ids: [...ids],
    reference: losses(reference),
    current: losses(current),
    weights: weight === null ? null : weights(weight),
  };
}

/** Hundredths of a nat; null for NaN. */
const losses = (values: Float32Array | null): (number | null)[] | null =>
  values === null
    ? null
    : Array.from(values, (value) => (Number.isNaN(value) ? null : Math.round(100 * value)));

/** Hundredths of a weight, never 0 for what is kept. */
const hundredths = (weight: number): number => (weight > 0 ? Math.max(1, Math.round(100 * weight)) : 0);

const weights = (values: Float32Array): string | number[] =>
  values.every((weight) => weight === 0 || weight === 1)
    ? [...values].join('')
    : Array.from(values, hundredths);

/** Bytes that each token takes in the JSON, its text and a comma for each number included. */
function tokenCosts({ text, tokens }: ReadingDocument): number[] {
  const { ids, start, end, reference, current, weight } = tokens;
  const number = (value: number | undefined): number => String(value ?? 0).length + 1;
  const loss = (values: ReadingTokens['reference'], token: number): number => {
    const value = values?.[token];
    if (value === undefined) return 0;
    return Number.isNaN(value) ? 5 : number(Math.round(100 * value));
  };
  let last = 0;
  return [...ids].map((id, token) => {
    const [from, to] = [start[token] ?? 0, end[token] ?? 0];
    const own =
      Math.min(last, from) < last && to <= last ? '' : text.slice(Math.min(last, from), Math.max(last, to));
    const gap = from === last ? 0 : number(token) + number(from - last);
    last = to;
    return (
      Buffer.byteLength(inert(JSON.stringify(own))) +
      number(to - from) +
      gap +
      number(id) +
      loss(reference, token) +
      loss(current, token) +
      (weight === null ? 0 : number(hundredths(weight[token] ?? 0)))
    );
  });
}

/** Tokens from the first on that fit. */
function tokensWithin(costs: readonly number[], bytes: number): number {
  let left = bytes - FRAME;
  const over = costs.findIndex((cost) => {
    left -= cost;
    return left < 0;
  });
  return over < 0 ? costs.length : over;
}
