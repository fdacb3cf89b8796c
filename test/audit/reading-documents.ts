import type { ReadingDocument } from '#tokensieve/audit/reading/reading-document.js';

export interface MadeToken {
  readonly text: string;
  readonly reference?: number;
  readonly current?: number;
  readonly weight?: number;
  readonly id?: number;
  /** Begins where the token before begins: both are pieces of one character. */
  readonly shared?: boolean;
}

/** A document of these tokens; one without losses is no target. */
export function documentOf(
  tokens: readonly MadeToken[],
  changes: Partial<ReadingDocument> = {},
): ReadingDocument {
  const [start, end] = [new Int32Array(tokens.length), new Int32Array(tokens.length)];
  let text = '';
  tokens.forEach((token, i) => {
    if (!token.shared) text += token.text;
    end[i] = text.length;
    start[i] = text.length - token.text.length;
  });
  const column = (name: 'reference' | 'current') =>
    Float32Array.from(tokens, (token) => token[name] ?? Number.NaN);
  return {
    shard: 'made.parquet',
    part: 0,
    row: 0,
    chosen: ['sample'],
    columns: {},
    text,
    source: 'shard',
    note: null,
    tokens: {
      ids: Int32Array.from(tokens, ({ id }, i) => id ?? i),
      start,
      end,
      reference: column('reference'),
      current: column('current'),
      weight: Float32Array.from(tokens, ({ weight }) => weight ?? 0),
    },
    totalTokens: tokens.length,
    complete: true,
    ...changes,
  };
}

/** Everything a text can hold that a page, a script or a line could mistake for something else. */
export const NASTY = [
  '</script><script>document.title = "broken out"</script>',
  '<!--',
  '<img src=x onerror="document.title = 1">',
  `'"\`&amp;&#60;`,
  '\\u003c/script\\u003e',
  '\u2028\u2029',
  '\u202eright to left\u202c',
  '\u0000\u0007\u007f\u0085',
  '\ud800 half',
  'half \udc00',
  '\uffff\ufffe',
  '\ufeff',
  '\r\n\t',
  '👩‍👩‍👧 e\u0301 العربية',
];
