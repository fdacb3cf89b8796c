import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { openSource } from '#tokensieve/dataset/source.js';
import { verifyFolder } from '#tokensieve/dataset/verify.js';
import { TokensieveError } from '#tokensieve/errors.js';
import { type ImportInput, parseImport } from '#tokensieve/import/settings.js';
import { openSources, readSources } from '#tokensieve/import/sources.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { describeData } from '#tokensieve/train/data/describe.js';
import type { Row } from '../dataset/batches.js';
import { temporaryFolder } from '../support/quickstart.js';
import { expectedLosses, importFrom, refusal, rowsOf, storage, writeRun } from './support.js';

const fixtures = fileURLToPath(new URL('../../fixtures/import/', import.meta.url));
const folder = temporaryFolder();
const run = join(folder, 'run');
let packed: Row[];
let expected: number[][];
let outs = 0;
const nextOut = (): string => join(folder, `out-${outs++}`);

interface JsonRow {
  readonly input_ids: number[];
  readonly losses: (number | null)[];
}
const rows = JSON.parse(readFileSync(join(fixtures, 'rows.json'), 'utf8')) as JsonRow[];

beforeAll(async () => {
  await writeRun(run);
  packed = await rowsOf(run, 'packed');
  expected = expectedLosses(packed);
});

/** Imports a file and holds every row against the formula. */
async function takes(path: string, more: Partial<ImportInput> = {}): Promise<void> {
  const out = nextOut();
  const report = await importFrom(run, path, out, more);
  expect(report).toMatchObject({ parts: 2, excluded: 0, incomplete: 0, leftOver: 0, resumed: 0 });
  const found = await rowsOf(out);
  expect(found.map(({ ids }) => ids)).toEqual(packed.map(({ ids }) => ids));
  expect(found.map(({ segments }) => segments)).toEqual(packed.map(({ segments }) => segments));
  expect(found.map(({ columns }) => columns['reference_loss'])).toEqual(expected);
  expect((await verifyFolder(storage, out)).findings).toEqual([]);
}

/** Writes a file and gives its path. */
function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, `${outs++}-${name}`);
  writeFileSync(path, content);
  return path;
}

const perDocument = { per: 'document' } as const;
const noIds = { per: 'document', ids: 'absent' } as const;

describe('files that other libraries wrote (fixtures/import/make.py)', () => {
  const cases: readonly (readonly [string, string, Partial<ImportInput>])[] = [
    ['rows.parquet', 'parquet by PyArrow, zstd, several row groups', {}],
    [
      'documents.parquet',
      'parquet of version 2 pages, int64 ids and log-probabilities, a row a document',
      perDocument,
    ],
    ['polars-1.arrow', 'an Arrow file by Polars 1, of zstd frames that do not say their size', {}],
    ['polars-1.arrows', 'an Arrow stream by Polars 1, of such frames', {}],
    ['polars-2.arrow', 'an Arrow file by Polars 2, whose messages only the footer finds', {}],
    ['polars-2.arrows', 'an Arrow stream by Polars 2, zstd', {}],
    ['zstd.arrow', 'an Arrow file, zstd, a text column before', {}],
    ['large.arrow', 'an Arrow file of large lists, uint32 and float64, lz4', {}],
    ['half.arrows', 'an Arrow stream of uint16 and float16', {}],
    ['rows.json', 'a JSON list', {}],
    ['lists.pt', 'lists of Python numbers by torch.save', noIds],
    ['tensors.pt', 'tensors by torch.save', noIds],
    ['bfloat16.pt', 'bfloat16 tensors by torch.save', noIds],
  ];
  it.each(cases)('%s: %s', async (name, _, more) => {
    await takes(join(fixtures, name), more);
  });

  it('cut off anywhere they are refused, and a flipped bit never ends in anything but values or a refusal', async () => {
    const records = async (path: string, more: Partial<ImportInput>): Promise<number> => {
      const settings = parseImport({ run, losses: [path], out: run, model_name: 'm', ...more }, 'test');
      const sources = await openSources(storage, settings, new AbortController().signal);
      const reader = readSources(storage, sources, settings);
      let count = 0;
      while ((await reader.next()) !== null) count++;
      return count;
    };
    let refused = 0;
    for (const [name, , more] of cases) {
      const whole = readFileSync(join(fixtures, name));
      expect(await records(join(fixtures, name), more)).toBe(more.per === 'document' ? 7 : 9);
      for (let i = 1; i <= 25; i++) {
        const at = Math.floor((whole.length * i) / 26);
        const error = await refusal(records(write(name, whole.subarray(0, at)), more));
        expect(error, `${name} cut at ${at}`).toBeInstanceOf(TokensieveError);
        const flipped = Buffer.from(whole);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (i % 8));
        const result = await records(write(name, flipped), more).catch((caught: unknown) => caught);
        if (!(result instanceof Error)) continue;
        expect(result, `${name} flipped at ${at}: ${result.stack}`).toBeInstanceOf(TokensieveError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(20);
  });

  it('a zstd frame without a size gives what its buffer may hold and no more', async () => {
    const bytes = readFileSync(join(fixtures, 'polars-1.arrows'));
    const magic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
    const at = bytes.indexOf(magic);
    // No size, a window of 1 MiB, and a block of four bytes that stands for 128 KiB: more than any buffer here has.
    const block = (0x20000 << 3) | (1 << 1) | 1;
    const bomb = [...magic, 0x00, 0x50, block & 0xff, (block >> 8) & 0xff, block >> 16, 7];
    bytes.set(bomb, at);
    expect(await refusal(importFrom(run, write('bomb.arrows', bytes), nextOut()))).toMatchObject({
      code: 'arrow-corrupt',
      message: expect.stringMatching(/a zstd frame holds more than \d{1,4} bytes/),
    });
  });

  it('pickles that would have to be executed are refused by name, and nothing of them runs', async () => {
    for (const name of ['dictionary.pt', 'object.pt']) {
      expect(await refusal(importFrom(run, join(fixtures, name), nextOut(), noIds)), name).toMatchObject({
        code: 'unsafe-pickle',
        message: expect.stringContaining('Convert it where you trust it'),
      });
    }
    expect(await refusal(importFrom(run, join(fixtures, 'lists.pt'), nextOut(), perDocument))).toMatchObject({
      code: 'no-ids',
    });
  });

  it('a mean a row goes to all its targets when that is asked for, and what ranks tokens refuses it', async () => {
    const path = join(fixtures, 'means.pt');
    expect(await refusal(importFrom(run, path, nextOut(), { ids: 'absent' }))).toMatchObject({
      code: 'means',
    });
    const out = nextOut();
    await importFrom(run, path, out, { ids: 'absent', means: 'spread' });
    const found = await rowsOf(out);
    expect(found.map(({ columns }) => columns['reference_loss'])).toEqual(
      expected.map((losses, row) => losses.map((loss) => (Number.isNaN(loss) ? loss : row / 4))),
    );
    const settings = parseSettings(selectionSettings, { method: 'reference-loss' }, 'test');
    const options = { storage, sink: () => undefined, signal: new AbortController().signal, replace: false };
    expect(await refusal(selectRun(out, join(out, 'weighted'), settings, options))).toMatchObject({
      code: 'row-means',
    });
    const source = await openSource(storage, join(out, 'scored'));
    expect(describeData([source], [1]).hasReferenceLoss).toBe(false);
  });
});

/** A response of vLLM's completions endpoint to one prompt, as its protocol has it; two candidates a token. */
const vllmChoice = ({ input_ids, losses }: JsonRow, index: number, candidates = true) => ({
  index,
  text: ' x',
  logprobs: null,
  finish_reason: 'length',
  prompt_logprobs: input_ids.map((id, i) =>
    i === 0
      ? null
      : {
          ...(candidates && { [id === 7 ? 8 : 7]: { logprob: -0.01, rank: 1, decoded_token: '"}{' } }),
          // Where the run has no target vLLM has a value all the same.
          [id]: { logprob: -(losses[i] ?? 3), rank: 2, decoded_token: 'é\\' },
        },
  ),
  ...(candidates && { prompt_token_ids: input_ids }),
});
const response = (choices: readonly unknown[]) => ({
  id: 'cmpl-1',
  object: 'text_completion',
  model: 'm',
  choices,
});

describe('vLLM’s prompt_logprobs', () => {
  it('responses to one prompt, a line each', async () => {
    await takes(
      write('a.jsonl', rows.map((row) => `${JSON.stringify(response([vllmChoice(row, 0)]))}\n`).join('')),
    );
  });

  it('one pretty-printed response to all prompts, choices in any order, compressed', async () => {
    const choices = rows.map((row, i) => vllmChoice(row, i)).reverse();
    await takes(write('a.json.gz', gzipSync(JSON.stringify(response(choices), null, 2))));
  });

  it('without prompt_token_ids where each token stands alone; refused where it does not', async () => {
    const alone = rows.map((row) => response([vllmChoice(row, 0, false)]));
    await takes(write('a.json', JSON.stringify(alone)));
    const { prompt_token_ids: _, ...several } = vllmChoice(rows[0] as JsonRow, 0);
    const error = await refusal(
      importFrom(run, write('a.json', JSON.stringify(response([several]))), nextOut()),
    );
    expect(error).toMatchObject({
      code: 'bad-source',
      message: expect.stringContaining('"return_token_ids": true'),
    });
  });

  it('dumps of RequestOutput, and the output of a batch', async () => {
    const dump = rows.map((row) => {
      const { prompt_logprobs, prompt_token_ids } = vllmChoice(row, 0);
      return {
        request_id: '0',
        prompt: null,
        prompt_token_ids,
        prompt_logprobs,
        outputs: [],
        finished: true,
      };
    });
    await takes(write('a.json', JSON.stringify(dump)));
    const batch = rows.map((row, i) => ({
      id: `vllm-${i}`,
      custom_id: `row-${i}`,
      response: { status_code: 200, request_id: 'x', body: response([vllmChoice(row, 0)]) },
      error: null,
    }));
    await takes(write('a.jsonl', batch.map((line) => JSON.stringify(line)).join('\n')));
  });

  it('-9999, which stands for minus infinity, is no loss', async () => {
    const [first, ...rest] = rows as [JsonRow, ...JsonRow[]];
    const hit = { ...first, losses: first.losses.map((loss, i) => (i === 3 ? 9999 : loss)) };
    const path = write('a.json', JSON.stringify([hit, ...rest].map((row) => response([vllmChoice(row, 0)]))));
    expect(await refusal(importFrom(run, path, nextOut()))).toMatchObject({
      code: 'no-loss',
      message: expect.stringMatching(/position 3 .*a loss of Infinity/),
    });
    const out = nextOut();
    expect(await importFrom(run, path, out, { missing: 'exclude' })).toMatchObject({
      excluded: 1,
      incomplete: 1,
    });
    expect((await rowsOf(out))[0]?.columns['reference_loss']?.[3]).toBeNaN();
    expect((await verifyFolder(storage, out)).findings).toEqual([]);
  });
});

describe('JSON', () => {
  it('bits become nats, log-probabilities losses', async () => {
    const lines = rows.map(({ input_ids, losses }) =>
      JSON.stringify({ ids: input_ids, logprobs: losses.map((loss) => loss && -loss / Math.LN2) }),
    );
    const out = nextOut();
    await importFrom(run, write('a.jsonl', lines.join('\n')), out, { unit: 'bits' });
    const found = (await rowsOf(out)).map(({ columns }) => columns['reference_loss'] ?? []);
    for (const [row, losses] of found.entries()) {
      for (const [i, loss] of losses.entries()) {
        if (Number.isNaN(expected[row]?.[i])) expect(loss).toBeNaN();
        else expect(Math.abs(loss - (expected[row]?.[i] ?? Number.NaN))).toBeLessThan(1e-6);
      }
    }
  });

  it('what is no record is refused with its line', async () => {
    const good = JSON.stringify(rows[0]);
    const refusals: readonly (readonly [string, string, RegExp])[] = [
      ['not JSON', `${good}\n{"input_ids": [1,]}\n`, /line 2: not JSON/],
      ['a number between', `${good}\n7\n`, /line 2: "7" where an object was expected/],
      ['cut off', `${good}\n{"input_ids": [`, /line 2: the file ends within the object/],
      ['no column', `{"tokens": [1], "losses": [0]}`, /none of input_ids.*has tokens, losses/],
      ['text for an id', `{"input_ids": ["1"], "losses": [0]}`, /position 0: "1" is no token id/],
      ['half an id', `{"input_ids": [1.5], "losses": [0]}`, /position 0: 1.5 is no token id/],
      ['text for a loss', `{"input_ids": [1], "losses": ["x"]}`, /position 0: "x" is no number/],
      ['other lengths', `{"input_ids": [1, 3], "losses": [0]}`, /2 ids and 1 values/],
      ['deep', `{"a": ${'['.repeat(2000)}${']'.repeat(2000)}}`, /nested deeper/],
    ];
    for (const [what, text, message] of refusals) {
      const error = await refusal(importFrom(run, write('a.jsonl', text), nextOut()));
      expect(error, what).toBeInstanceOf(TokensieveError);
      expect(error.message, what).toMatch(message);
    }
  });
});
