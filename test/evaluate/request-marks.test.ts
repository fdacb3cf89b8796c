import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { continuationRow } from '#tokensieve/evaluate/continuations.js';
import {
  asEncoded,
  type ContinuationRow,
  rollingRows,
  unconditionedRow,
} from '#tokensieve/evaluate/request-rows.js';
import { strippedContext } from '#tokensieve/evaluate/stripped-context.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { writeFolder } from '../tokenizer/support.js';

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url));
/** Context and continuation, or the harness's exception. */
type Windows = readonly (readonly [number[], number[]])[] | string;

/** Golden of fixtures/evaluate/request_marks.py. */
interface Golden {
  readonly max_length: number;
  readonly pairs: readonly (readonly [string, string])[];
  readonly texts: readonly string[];
  readonly cases: readonly {
    readonly kind: string;
    readonly config: Readonly<Record<string, unknown>>;
    readonly add_bos_token: boolean | null;
    readonly pairs: readonly Windows[];
    readonly rolling: readonly Windows[];
  }[];
}
const golden: Golden = JSON.parse(readFileSync(join(fixtures, 'evaluate/request_marks.json'), 'utf8'));
const { kinds } = JSON.parse(
  gunzipSync(readFileSync(join(fixtures, 'tokenizers/differential.json.gz'))).toString('utf8'),
);

/** What the harness feeds: the ids that fit, the last one only predicted. */
const shown = (windows: Windows, length: number): (string | number)[][] =>
  typeof windows === 'string'
    ? []
    : windows.map(([context, continuation]) => [
        `${[...context, ...continuation].slice(-length)}`,
        continuation.length,
      ]);
const ours = (rows: readonly (ContinuationRow | null)[]): (string | number)[][] =>
  rows.flatMap((row) => (row === null ? [] : [[`${[...row.ids]}`, row.targets]]));

describe('ids of requests are the harness’s', () => {
  it.each(golden.cases)('$kind $config add_bos_token=$add_bos_token', async (one) => {
    const path = writeFolder({ 'tokenizer.json': kinds[one.kind], 'tokenizer_config.json': one.config });
    const tokenizer = await openTokenizer({
      path,
      bos: one.add_bos_token ?? undefined,
      controlTokens: 'special',
    });
    const { requests } = tokenizer;
    const length = golden.max_length + 1;
    const encode = async (text: string): Promise<Int32Array> => (await tokenizer.encode([text]))[0]!.ids;
    for (const [i, [context, continuation]] of golden.pairs.entries()) {
      const row =
        context === ''
          ? unconditionedRow(await encode(continuation), requests, length)
          : continuationRow(
              asEncoded(await encode(strippedContext(context)), requests),
              asEncoded(await encode(context + continuation), requests),
              length,
            );
      expect(ours([row]), JSON.stringify(golden.pairs[i])).toEqual(
        shown(one.pairs[i]!, length).filter(([, targets]) => Number(targets) > 0),
      );
    }
    for (const [i, text] of golden.texts.entries()) {
      const rows = rollingRows(asEncoded(await encode(text), requests), requests, length);
      expect(ours(rows), text).toEqual(shown(one.rolling[i]!, length));
    }
  });
});
