/** A run of tokens of one weight, and the text that they stand for. The spans of a document cover its text in order. */
export interface Span {
  /** Characters [start, end) of the text, counted in Unicode code points as Python does. */
  readonly start: number;
  readonly end: number;
  readonly tokens: number;
  readonly weight: number;
  /** Means over the span's targets, in nats; null where it has none. */
  readonly reference_loss?: number | null;
  readonly current_loss?: number | null;
  readonly text: string;
}

/** [tokens] each. */
export interface SpanValues {
  readonly weights: readonly number[];
  readonly reference: readonly number[] | null;
  readonly current: readonly number[] | null;
}

/**
 * @param ends where in the text each token ends, in UTF-16 units. What lies between two tokens (white space that the
 *   tokenizer drops) goes to the later; a character that several tokens share goes to the first.
 */
export function spansOf(text: string, ends: Int32Array, values: SpanValues): Span[] {
  const spans: Span[] = [];
  const count = ends.length;
  let [unit, character] = [0, 0];
  for (let first = 0; first < count; ) {
    const weight = values.weights[first] ?? 0;
    let last = first + 1;
    while (last < count && values.weights[last] === weight) last++;
    let end = unit;
    for (let i = first; i < last; i++) end = Math.max(end, ends[i] ?? 0);
    if (last === count) end = text.length;
    const piece = text.slice(unit, end);
    const length = codePoints(piece);
    spans.push({
      start: character,
      end: character + length,
      tokens: last - first,
      weight,
      ...(values.reference !== null && { reference_loss: meanOf(values.reference, first, last) }),
      ...(values.current !== null && { current_loss: meanOf(values.current, first, last) }),
      text: piece,
    });
    unit = end;
    character += length;
    first = last;
  }
  return spans;
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function meanOf(values: readonly number[], start: number, end: number): number | null {
  let [sum, count] = [0, 0];
  for (let i = start; i < end; i++) {
    const value = values[i] ?? Number.NaN;
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return count === 0 ? null : Number((sum / count).toPrecision(6));
}
