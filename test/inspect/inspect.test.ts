import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { tableFromArrays, tableToIPC } from 'apache-arrow';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectionText } from '#tokensieve/cli/views/inspection.js';
import { TokensieveError } from '#tokensieve/errors.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import type { Inspection } from '#tokensieve/inspect/inspection.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { BYTE_ALPHABET } from '#tokensieve/tokenizer/bytes.js';
import { webRows, writtenParquet } from '../corpus/written-parquet.js';
import { writePart } from '../dataset/runs.js';
import { safetensorsBytes, writeRandomCheckpoint } from '../support/checkpoints.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';

const folder = mkdtempSync(join(tmpdir(), 'tokensieve-inspect-'));
afterAll(() => rmSync(folder, { recursive: true }));

const storage = localStorage();
const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url));

function put(name: string, bytes: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

/** What `inspect` finds, when its screen has at most 40 lines, no control characters, and JSON says the same. */
async function look<K extends Inspection['kind']>(
  path: string,
  kind: K,
): Promise<Inspection & { readonly kind: K }> {
  const found = await inspect(path, { storage, cacheFolder: null });
  const text = inspectionText(found);
  expect(text.split('\n').length).toBeLessThanOrEqual(40);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  expect(JSON.parse(JSON.stringify(found))).toEqual(found);
  if (!isOf(found, kind)) throw new Error(`${path} is ${found.kind}, expected ${kind}`);
  return found;
}

const isOf = <K extends Inspection['kind']>(
  found: Inspection,
  kind: K,
): found is Inspection & { readonly kind: K } => found.kind === kind;

const refusal = async (path: string): Promise<TokensieveError> => {
  const error: unknown = await inspect(path, { storage, cacheFolder: null }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof TokensieveError)) throw new Error(`${path}: ${String(error)}`);
  expect(error.message).not.toContain('\n');
  expect(error.message).toContain(path);
  return error;
};

const jsonLines = webRows(30)
  .map((row) => JSON.stringify(row))
  .join('\n');

describe('shards', () => {
  it('parquet: columns, types, codecs, the text column and its parts', async () => {
    const rows = webRows(25);
    const bytes = await writtenParquet(
      {
        url: { type: 'UTF8', compression: 'SNAPPY' },
        text: { type: 'UTF8', optional: true },
        n: { type: 'INT64' },
      },
      rows,
      { rowGroupSize: 10 },
    );
    // The name says nothing; the bytes do.
    const found = await look(put('shard.bin', bytes), 'parquet');
    expect(found).toMatchObject({ rows: 25, rowGroups: 3, largestGroup: 10, textColumn: 'text', version: 1 });
    expect(found.writer).toMatch(/^parquet\.js/);
    expect(found.columns.map(({ name, type, codecs, nullable }) => [name, type, codecs, nullable])).toEqual([
      ['url', 'string', ['snappy'], false],
      ['text', 'string', ['uncompressed'], true],
      ['n', 'int64', ['uncompressed'], false],
    ]);
    const text = found.columns[1]!;
    expect(text.bytes).toBeGreaterThan(rows.reduce((sum, row) => sum + Buffer.byteLength(row.text), 0));
    expect(found.parts).toMatchObject({ count: 1, textBytes: text.bytes });
  });

  it('parquet without text: says that none of its columns will do', async () => {
    const found = await look(
      put('numbers.parquet', await writtenParquet({ n: { type: 'INT64' } }, [{ n: 1 }])),
      'parquet',
    );
    expect(found).toMatchObject({ textColumn: null, parts: null });
    expect(inspectionText(found)).toContain('none: no column of strings');
  });

  it('parquet of many columns with hostile names stays one screen', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `\u001b[31m\u202e${'c'.repeat(100)}${i}`);
    const fields = Object.fromEntries(names.map((name) => [name, { type: 'UTF8' as const }]));
    const row = Object.fromEntries(names.map((name) => [name, 'x']));
    const found = await look(put('wide.parquet', await writtenParquet(fields, [row])), 'parquet');
    expect(found.columns).toHaveLength(60);
    expect(inspectionText(found)).toContain('\\u{1b}[31m\\u{202e}ccc');
    expect(inspectionText(found)).toContain('… and 36 more');
  });

  it.each([
    ['lines.jsonl', jsonLines, 'jsonl'],
    ['lines.without-extension', jsonLines, 'jsonl'],
    ['lines.gz', gzipSync(jsonLines), 'jsonl.gz'],
  ])('%s: columns of the first lines', async (name, bytes, format) => {
    const found = await look(put(name, bytes), 'jsonl');
    expect(found).toMatchObject({ format, sampledLines: 30, badLines: 0, whole: true, textColumn: 'text' });
    expect(found.columns.map(({ name: column, types }) => [column, types])).toEqual([
      ['url', ['string']],
      ['text', ['string']],
      ['n', ['number']],
    ]);
  });

  it('jsonl.zst, and lines that are no objects', async () => {
    expect(await look(`${fixtures}jsonl/pages.jsonl.zst`, 'jsonl')).toMatchObject({
      format: 'jsonl.zst',
      textColumn: 'text',
    });
    const broken = '{"content": "abc"}\n[1]\nnonsense\n{"content": null, "__proto__": 1}\n';
    const found = await look(put('some-bad.jsonl', broken), 'jsonl');
    expect(found).toMatchObject({ sampledLines: 4, badLines: 2, textColumn: 'content' });
    expect(found.columns).toContainEqual({ name: 'content', types: ['string', 'null'], characters: 3 });
    expect(found.columns.map(({ name }) => name)).toContain('__proto__');
  });

  it('a long one is sampled, not read', async () => {
    const found = await look(put('long.jsonl', `${jsonLines}\n`.repeat(100)), 'jsonl');
    expect(found).toMatchObject({ sampledLines: 1000, whole: false });
  });

  it('a folder of them', async () => {
    put('corpus/a/one.jsonl', jsonLines);
    put('corpus/two.jsonl.gz', gzipSync(jsonLines));
    put('corpus/notes.txt', 'x');
    const found = await look(join(folder, 'corpus'), 'corpus');
    expect(found.shards).toBe(2);
    expect(found.formats.map(({ format, shards }) => [format, shards])).toEqual([
      ['jsonl', 1],
      ['jsonl.gz', 1],
    ]);
  });
});

describe('data sets', () => {
  it('scored, weighted, documents and manifest files of a part', async () => {
    const scored = await writePart(join(folder, 'run', 'scored'));
    const sequences = await look(scored.sequences, 'scored');
    // Three rows of eight tokens, the first of each without a loss: see test/dataset/runs.ts.
    expect(sequences).toMatchObject({ rows: 3, tokens: 24, eligible: 21, kept: null, lossPrecision: 'fp32' });
    expect(sequences.fields.map(({ name }) => name)).toEqual([
      'sequence_id',
      'input_ids',
      'reference_loss',
      'current_loss',
      'segments',
    ]);
    expect(sequences.columns.find(({ name }) => name === 'excess')).toEqual({
      name: 'excess',
      count: 21,
      mean: 1,
      min: 1,
      max: 1,
    });
    expect(sequences.first[0]).toEqual({
      position: 0,
      id: 0,
      values: { reference_loss: null, current_loss: null },
    });
    expect(sequences.first[1]).toEqual({
      position: 1,
      id: 1,
      values: { reference_loss: 0.25, current_loss: 1.25 },
    });
    expect(sequences.fingerprint).toBe(scored.manifestData.fingerprint);

    const columns = ['reference_loss', 'current_loss', 'weight'] as const;
    const weighted = await writePart(join(folder, 'run', 'weighted'), { columns, lossPrecision: 'fp16' });
    expect(await look(weighted.sequences, 'weighted')).toMatchObject({
      tokens: 24,
      eligible: 21,
      kept: 12,
      lossPrecision: 'fp16',
    });

    const documents = await look(scored.documents, 'documents');
    expect(documents).toMatchObject({ rows: 4, textBytes: 80, tokens: 32, keptColumns: ['url'] });
    expect(documents.first[3]).toEqual({ row: 3, textBytes: 20, tokens: 8, columns: { url: 'u3' } });

    const manifest = await look(scored.manifest, 'manifest');
    expect(manifest).toMatchObject({ of: 'scored', shard: 'a/x.parquet', part: 0 });
    expect(manifest.counts).toEqual(scored.manifestData.counts);
    expect(manifest.columns.map(({ name, mean }) => [name, mean])).toContainEqual(['excess', 1]);
  });

  it('a run: its parts by recipe, sums and quarantined rows', async () => {
    const run = join(folder, 'sums');
    const quarantine = { quarantined_rows: 3, quarantined: { 'null-text': 2, 'bad-json': 1 } };
    await writePart(`${run}/scored`, { part: 0 });
    await writePart(`${run}/scored`, {
      part: 1,
      manifest: (m) => ({ ...m, counts: { ...m.counts, ...quarantine } }),
    });
    await writePart(`${run}/weighted`, { columns: ['reference_loss', 'current_loss', 'weight'] });
    const found = await look(run, 'run');
    expect(found.groups.map(({ of, parts, tokens, kept }) => [of, parts, tokens, kept])).toEqual([
      ['scored', 2, 48, 0],
      ['weighted', 1, 24, 12],
    ]);
    expect(found.groups[0]).toMatchObject({
      quarantinedRows: 3,
      quarantined: { 'null-text': 2, 'bad-json': 1 },
    });
    expect(inspectionText(found)).toContain('3 rows: bad-json 1, null-text 2');
  });

  it('says loudly when parts were made by several recipes', async () => {
    const run = join(folder, 'mixed');
    await writePart(`${run}/scored`, { part: 0 });
    await writePart(`${run}/scored`, { part: 1, manifest: (m) => ({ ...m, recipe: { other: true } }) });
    const found = await look(run, 'run');
    expect(found.groups).toHaveLength(2);
    expect(inspectionText(found)).toContain('PARTS OF SEVERAL RECIPES');
  });
});

describe('models', () => {
  it('a checkpoint: shape, cost and hash', async () => {
    const path = join(folder, 'checkpoint');
    writeRandomCheckpoint(path, { architecture: 'LlamaForCausalLM', seed: 1, dtype: 'BF16' });
    const found = await look(path, 'model');
    const [vocabulary, hidden, inner, heads, kvHeads, headSize, layers] = [131, 42, 77, 6, 2, 8, 3];
    const matrices =
      layers * (2 * hidden * heads * headSize + 2 * hidden * kvHeads * headSize + 3 * hidden * inner) +
      vocabulary * hidden;
    const parameters = matrices + vocabulary * hidden + (2 * layers + 1) * hidden;
    expect(found).toMatchObject({
      form: 'checkpoint',
      architecture: 'LlamaForCausalLM',
      parameters,
      weightType: 'BF16',
      weightBytes: 2 * parameters,
      cpuWeightBytes: 4 * parameters,
      vocabularySize: vocabulary,
      maxPositions: 256,
      hasTokenizer: false,
      graph: null,
    });
    expect(found.shape).toEqual({
      layers,
      hiddenSize: hidden,
      heads,
      kvHeads,
      headSize,
      innerSize: inner,
      rope: 'theta 10000',
      tiedHead: false,
      slidingWindow: null,
    });
    expect(found.flopsAtContext).toBe(2 * matrices + 2 * heads * headSize * layers * 2048);
    expect(found.hash).toMatch(/^[0-9a-f]{64}$/);

    const weights = await look(join(path, 'model.safetensors'), 'safetensors');
    expect(weights).toMatchObject({ parameters, bytes: 2 * parameters });
    expect(weights.types).toEqual([
      { type: 'BF16', tensors: weights.tensors, parameters, bytes: 2 * parameters },
    ]);
    expect(weights.largest[0]).toMatchObject({ shape: [vocabulary, hidden] });
  });

  it('GPT-2 has learned positions and a tied head by its own defaults', async () => {
    const path = join(folder, 'gpt2');
    writeRandomCheckpoint(path, { architecture: 'GPT2LMHeadModel', seed: 2 });
    expect((await look(path, 'model')).shape).toMatchObject({ rope: null, tiedHead: true });
  });

  it('an ONNX file and its folder', async () => {
    const onnx = await look(`${fixtures}models/onnx/llama-genai-fp32/model.onnx`, 'onnx');
    expect(onnx.inputs.map(({ name, type }) => [name, type])).toContainEqual(['input_ids', 'INT64']);
    expect(onnx.outputs[0]).toMatchObject({
      name: 'logits',
      type: 'FLOAT',
      shape: ['batch_size', 'sequence_length', 67],
    });
    expect(
      onnx.operators.find(({ operator }) => operator === 'com.microsoft.GroupQueryAttention'),
    ).toBeDefined();
    expect(onnx.externalFiles[0]?.location).toBe('model.onnx.data');
    const model = await look(`${fixtures}models/onnx/llama-genai-fp32`, 'model');
    expect(model).toMatchObject({ form: 'onnx-export', architecture: 'onnx', vocabularySize: 67 });
    expect(model.graph?.nodes).toBe(onnx.nodes);
  });

  it('a tokenizer', async () => {
    const vocab = Object.fromEntries([...BYTE_ALPHABET].sort().map((piece, id) => [piece, id]));
    const definition = {
      added_tokens: [{ id: 256, content: '<|end|>', special: true, normalized: false }],
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
      model: { type: 'BPE', vocab, merges: [] },
    };
    const path = put('tokenizer/tokenizer.json', JSON.stringify(definition));
    for (const named of [path, join(folder, 'tokenizer')]) {
      const found = await look(named, 'tokenizer');
      expect(found).toMatchObject({
        path,
        model: 'BPE',
        pieces: 256,
        merges: 0,
        vocabularySize: 256,
        normalizer: [],
        preTokenizer: ['ByteLevel'],
        controlTokens: ['<|end|>'],
      });
    }
  });

  it.skipIf(!hasSharedData)('a real tokenizer and a real model', async () => {
    const gpt2 = await look(`${sharedData}tokenizers/gpt2`, 'tokenizer');
    expect(gpt2).toMatchObject({ pieces: 50257, merges: 50000, vocabularySize: 50256, eosId: null });
    const stories = await look(`${sharedData}models/stories260K-hf`, 'model');
    expect(stories.shape).toMatchObject({ layers: 5, hiddenSize: 64, heads: 8, kvHeads: 4, tiedHead: true });
    expect(stories.hasTokenizer).toBe(true);
    const damaged = await refusal(`${sharedData}tokenizers/llama2__ort-ext-nbsp-damaged`);
    expect(damaged.code).toBe('bad-tokenizer');
  });
});

it('a pipeline file: with its defaults', async () => {
  const path = put('job.yaml', 'shards: [x.parquet]\nreference: models/ref\nout: runs/one\n');
  const found = await look(path, 'pipeline');
  const pipeline = 'pipeline' in found ? found.pipeline : null;
  expect(pipeline).toMatchObject({
    out: 'runs/one',
    sequence: { packing: 'packed' },
    score: { device: 'auto' },
  });
  expect(await look(put('job.json', JSON.stringify(pipeline)), 'pipeline')).toMatchObject({ pipeline });
});

it('a pipeline of stages: each with its defaults', async () => {
  const stages = [{ select: { run: 'runs/one' } }];
  const expected = { stages: [{ name: 'select', kind: 'select', settings: { run: 'runs/one', keep: 0.6 } }] };
  expect(await look(put('stages.yaml', 'stages:\n  - select: {run: runs/one}\n'), 'pipeline')).toMatchObject(
    expected,
  );
  expect(await look(put('stages.json', JSON.stringify({ stages })), 'pipeline')).toMatchObject(expected);
});

describe('what is refused', () => {
  const header = (length: bigint, text: string): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(length);
    return Buffer.concat([bytes, Buffer.from(text)]);
  };
  const stream = tableToIPC(tableFromArrays({ a: [1, 2] }), 'stream');
  const foreign = tableToIPC(tableFromArrays({ a: [1, 2] }), 'file');

  it.each<[string, string | Uint8Array, string]>([
    ['empty', '', 'unknown-file'],
    ['noise', Buffer.from([1, 2, 3, 0, 255, 254]), 'unknown-file'],
    ['prose.txt', 'Call me Ishmael.', 'unknown-file'],
    ['other.json', '{"a": 1}', 'unknown-file'],
    ['config.json', '{"architectures": ["LlamaForCausalLM"]}', 'unknown-file'],
    ['weights.bin', Buffer.from('PK\x03\x04rest', 'latin1'), 'unknown-file'],
    ['weights.pkl', Buffer.from([0x80, 2, 0x7d]), 'unknown-file'],
    ['stream.arrow', stream, 'unknown-file'],
    ['foreign.arrow', foreign, 'not-a-dataset'],
    ['cut.arrow', foreign.subarray(0, 60), 'arrow-corrupt'],
    ['cut.parquet', 'PAR1xxxxxxxxxxxx', 'broken-shard'],
    ['long.safetensors', header(1n << 40n, '{}'), 'broken-safetensors'],
    [
      'overlap.safetensors',
      safetensorsBytes([{ name: 'a', dtype: 'F32', shape: [9], bytes: Buffer.alloc(4) }]),
      'broken-safetensors',
    ],
    ['m.manifest.json', '{"fingerprint": 1, "outputs": []}', 'bad-manifest'],
    ['tokenizer.json', '{"model": {"type": "WordPiece", "vocab": {}}}', 'unsupported-tokenizer'],
    ['broken.onnx', 'not protobuf at all', 'onnx-unreadable'],
    ['cut.jsonl.gz', gzipSync(jsonLines).subarray(0, 12), 'broken-shard'],
    ['bad.yaml', 'shards: [x]\n', 'bad-settings'],
  ])('%s', async (name, bytes, code) => {
    expect((await refusal(put(`refused/${name}`, bytes))).code).toBe(code);
  });

  it('an absent path, and a folder of nothing', async () => {
    expect((await refusal(join(folder, 'absent'))).code).toBe('not-found');
    put('junk/readme.txt', 'x');
    expect((await refusal(join(folder, 'junk'))).code).toBe('unknown-file');
  });

  it('an ONNX file of 20 MB whose messages would take gigabytes, quickly', async () => {
    const nodes = 10_000_000;
    const graph = Buffer.alloc(2 * nodes);
    for (let i = 0; i < nodes; i++) graph[2 * i] = 0x0a;
    const length = [];
    for (let left = graph.length; left > 0; left = Math.floor(left / 128))
      length.push((left % 128) | (left > 127 ? 128 : 0));
    const bytes = Buffer.concat([Buffer.from([0x08, 0x08, 0x3a, ...length]), graph]);
    const before = process.memoryUsage().rss;
    expect((await refusal(put('bomb.onnx', bytes))).message).toContain('would take more than');
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
  });
});
