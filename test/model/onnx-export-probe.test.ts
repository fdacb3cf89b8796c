import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  type TensorShapeProto_Dimension,
  TensorShapeProto_DimensionSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { afterAll, describe, expect, it } from 'vitest';
import { examineOnnxExport } from '#tokensieve/model/onnx-export.js';
import { prepareModel } from '#tokensieve/model/prepare.js';
import { addConstant, addNode, displace, exportBench, exportFixtures } from '../support/changed-export.js';
import { readGolden } from '../support/oracle/golden.js';
import { runPrepared } from '../support/oracle-run.js';

const bench = exportBench();
afterAll(() => bench.clear());
const settings = {
  device: 'cpu',
  attention: 'across',
  entropy: false,
  cacheFolder: join(bench.folder, 'cache'),
} as const;

interface Wanted {
  readonly rows: readonly (readonly number[])[];
  readonly losses: readonly (readonly (number | null)[])[];
}
const golden = readGolden('llama-export');
const llama: Wanted = { rows: golden.rows, losses: golden.float64.across.loss };
const lossesBeside = (name: string): Wanted =>
  JSON.parse(readFileSync(join(exportFixtures, name, 'losses.json'), 'utf8')) as Wanted;

/** Largest difference from the losses wanted, of the rows alone and of all in one batch. */
async function farthest(folder: string, { rows, losses }: Wanted, bounded = false): Promise<number> {
  const prepared = await prepareModel(folder, { ...settings, heedsMaxPositions: bounded });
  const longest = bounded ? prepared.info.maxPositions! : Number.POSITIVE_INFINITY;
  const fitting = rows.flatMap((ids, r) => (ids.length <= longest ? [{ ids, wanted: losses[r]! }] : []));
  const batches = [fitting, ...fitting.map((row) => [row])];
  let gap = 0;
  let tokens = 0;
  for (const batch of batches) {
    const { loss } = await runPrepared(prepared, batch);
    for (const [r, { wanted }] of batch.entries()) {
      for (const [t, value] of wanted.entries()) {
        const difference = Math.abs(loss[r]![t]! - value!);
        gap = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(gap, difference);
        tokens++;
      }
    }
  }
  expect(tokens).toBeGreaterThan(80);
  return gap;
}

const refusal = async (folder: string): Promise<Error> => {
  const error: unknown = await prepareModel(folder, settings).then(
    () => expect.fail('was accepted'),
    (thrown: unknown) => thrown,
  );
  expect((error as Error).message).not.toContain('\n');
  return error as Error;
};

describe("exports by the tools people have, against transformers' losses in float64", () => {
  it('fused by the optimiser (O2)', async () => {
    expect(await farthest(join(exportFixtures, 'llama-optimum-O2'), llama)).toBeLessThan(2e-5);
  });

  it('with layers whose cache slides, and capped logits', async () => {
    const name = 'gemma2-genai-fp32';
    expect(await farthest(join(exportFixtures, name), lossesBeside(name))).toBeLessThan(2e-5);
  });

  it('with two tables of frequencies: right for the rows that all take the first', async () => {
    const folder = join(exportFixtures, 'phi3-genai-fp32');
    expect(await farthest(folder, lossesBeside('phi3-genai-fp32'), true)).toBeLessThan(2e-5);
    expect((await prepareModel(folder, { ...settings, heedsMaxPositions: true })).info.maxPositions).toBe(42);
    const { info, verdict } = await examineOnnxExport(folder, settings.cacheFolder);
    expect(info.maxPositions).toBe(42);
    expect(verdict.lengthSwitch!.length).toBe(42);
    expect(verdict.lengthSwitch!.gap).toBeGreaterThan(0.01);
  });

  it('and refused for callers that give rows of any length', async () => {
    expect(await refusal(join(exportFixtures, 'phi3-genai-fp32'))).toMatchObject({
      code: 'onnx-length-switch',
      message: expect.stringMatching(/beyond 42 tokens .* changes by [\d.]+ nats.*--sequence-length 42/),
    });
  });

  it('dynamically quantised: refused, for a loss depends on the batch', async () => {
    expect(await refusal(join(exportFixtures, 'llama-optimum-int8'))).toMatchObject({
      code: 'onnx-batch-dependent',
      message: expect.stringMatching(/changes by 0\.\d+ nats with the other rows.*dynamic quantisation/),
    });
  });
});

const fixed = (size: number): TensorShapeProto_Dimension =>
  create(TensorShapeProto_DimensionSchema, { value: { case: 'dimValue', value: BigInt(size) } });

function fix(graph: GraphProto, axis: number, size: number): void {
  for (const each of graph.input) {
    const type = each.type!.value;
    if (type.case === 'tensorType') type.value.shape!.dim.splice(axis, 1, fixed(size));
  }
}

/** The export inside a branch, as optimum merges the two decoders; the other branch gives nothing but zeros. */
function merge(graph: GraphProto): void {
  const outputs = graph.output.map(({ name }) => name);
  const none = create(GraphProtoSchema, { name: 'with_cache', output: graph.output });
  for (const name of outputs)
    addNode(none, 'ConstantOfShape', [addConstant(none, `zero ${name}`, [1, 1, 1])], [name]);
  const branch = create(GraphProtoSchema, {
    name: 'no_cache',
    output: graph.output,
    node: graph.node,
    initializer: graph.initializer,
  });
  graph.node = [];
  graph.initializer = [];
  addNode(graph, 'If', ['use_cache_branch'], outputs, { then_branch: none, else_branch: branch });
  const shape = { dim: [fixed(1)] };
  const value = { case: 'tensorType' as const, value: { elemType: DataType.BOOL, shape } };
  graph.input.push(create(ValueInfoProtoSchema, { name: 'use_cache_branch', type: { value } }));
}

function halfAndBack(graph: GraphProto): void {
  const projected = displace(graph, 'logits', 'projected');
  addNode(graph, 'Cast', ['narrow'], ['logits'], { to: DataType.FLOAT });
  addNode(graph, 'Cast', [projected], ['narrow'], { to: DataType.DOUBLE });
}

describe('unusual graphs give the losses of the checkpoint', () => {
  it.each<[string, string, (graph: GraphProto, folder: string) => void]>([
    ['with all nodes in the wrong order', 'llama-optimum', (graph) => void graph.node.reverse()],
    ['with casts behind everything, the last first', 'llama-optimum', halfAndBack],
    ['merged from two decoders', 'llama-optimum-past', merge],
    [
      'with one name for all nodes',
      'llama-optimum',
      (graph) => {
        for (const node of graph.node) node.name = 'Gather';
      },
    ],
    ['with a mask of booleans', 'llama-optimum', (graph) => feedAs(graph, 'attention_mask', DataType.BOOL)],
    [
      'with a mask of half precision',
      'llama-optimum-past',
      (graph) => feedAs(graph, 'attention_mask', DataType.FLOAT16),
    ],
    ['with ids of 32 bits', 'llama-optimum', (graph) => feedAs(graph, 'input_ids', DataType.INT32)],
    ['with cache_position for positions', 'llama-optimum', feedPositionRow],
    [
      'that end in a log-softmax',
      'llama-optimum',
      (graph) =>
        addNode(graph, 'LogSoftmax', [displace(graph, 'logits', 'projected')], ['logits'], { axis: -1 }),
    ],
    [
      'whose logits have no name, where config.json tells the vocabulary',
      'llama-optimum',
      (graph) => {
        displace(graph, 'logits', 'output_0');
        graph.output[0]!.name = 'output_0';
      },
    ],
  ])('%s', async (_, from, change) => {
    expect(await farthest(bench.changed(from, change), llama)).toBeLessThan(2e-5);
  });
});

/** An input of another type, made into what the graph reads. */
function feedAs(graph: GraphProto, name: string, elemType: DataType): void {
  for (const node of graph.node)
    node.input = node.input.map((each) => (each === name ? `cast ${name}` : each));
  addNode(graph, 'Cast', [name], [`cast ${name}`], { to: DataType.INT64 });
  const type = graph.input.find((input) => input.name === name)!.type!.value;
  if (type.case === 'tensorType') type.value.elemType = elemType;
}

/** Positions under another name and of one row. */
function feedPositionRow(graph: GraphProto): void {
  for (const node of graph.node)
    node.input = node.input.map((each) => (each === 'position_ids' ? 'all positions' : each));
  addNode(graph, 'Unsqueeze', ['cache_position', addConstant(graph, 'first', [0])], ['all positions']);
  const input = graph.input.find(({ name }) => name === 'position_ids')!;
  input.name = 'cache_position';
  if (input.type!.value.case === 'tensorType') input.type!.value.value.shape!.dim.splice(0, 1);
}

/** Adds to the logits what `node` makes of them, times 1/10. */
function addReduced(graph: GraphProto, opType: string, axes: readonly number[]): void {
  const projected = displace(graph, 'logits', 'projected');
  const input = opType === 'ReduceMax' ? [projected, addConstant(graph, 'axes', axes)] : [projected];
  addNode(graph, opType, input, ['reduced'], { keepdims: 1 });
  addNode(graph, 'Mul', ['reduced', projected], ['shifted']);
  addNode(graph, 'Add', [projected, 'shifted'], ['logits']);
}

/** From `length` + 1 tokens on, logits are twice as large. */
function addSwitch(graph: GraphProto, length: number): void {
  const projected = displace(graph, 'logits', 'projected');
  addNode(graph, 'Shape', ['input_ids'], ['shape_of_ids']);
  addNode(graph, 'Gather', ['shape_of_ids', addConstant(graph, 'one', [1], { shape: [] })], ['row_length']);
  addNode(
    graph,
    'Greater',
    ['row_length', addConstant(graph, 'limit', [length], { shape: [] })],
    ['is_long'],
  );
  addConstant(graph, 'twice', [2], { shape: [], float: true });
  addConstant(graph, 'once', [1], { shape: [], float: true });
  addNode(graph, 'Where', ['is_long', 'twice', 'once'], ['factor']);
  addNode(graph, 'Mul', [projected, 'factor'], ['logits']);
}

it('a head with more columns than the embedding has rows is probed with ids that the model has', async () => {
  const known = 20;
  const folder = bench.changed('llama-optimum', (graph, at) => {
    const embedding = graph.initializer.find(({ name }) => name === 'model.embed_tokens.weight')!;
    const width = Number(embedding.dims[1]);
    embedding.dims = [BigInt(known), BigInt(width)];
    embedding.rawData = embedding.rawData.subarray(0, 4 * known * width);
    const config = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8')) as object;
    writeFileSync(join(at, 'config.json'), JSON.stringify({ ...config, vocab_size: known }));
  });
  const rows = [{ ids: [3, 7, 1, 19, 4, 4] }];
  const whole = await prepareModel(join(exportFixtures, 'llama-optimum'), settings);
  const padded = await prepareModel(folder, settings);
  expect((await runPrepared(padded, rows)).loss).toEqual((await runPrepared(whole, rows)).loss);
});

describe('exports whose losses are not those of a row alone are refused, with the figure', () => {
  it.each<[string, (graph: GraphProto, folder: string) => void, string, RegExp]>([
    [
      'by the largest value of the batch',
      (graph) => addReduced(graph, 'ReduceMax', [0, 1, 2]),
      'onnx-batch-dependent',
      /changes by \d+(\.\d+)? nats with the other rows of its batch, .*rounding is at most 0\.001/,
    ],
    [
      'by the token after the next',
      (graph) => {
        const next = addConstant(graph, 'shift', [2]);
        const [end, axes] = [addConstant(graph, 'end', [1000]), addConstant(graph, 'axes', [1])];
        const projected = displace(graph, 'logits', 'projected');
        addNode(graph, 'Slice', [projected, next, end, axes], ['later']);
        addNode(graph, 'Pad', ['later', addConstant(graph, 'pads', [0, 0, 0, 0, 2, 0])], ['aligned']);
        addNode(graph, 'Add', [projected, 'aligned'], ['logits']);
      },
      'onnx-batch-dependent',
      /and by \d+(\.\d+)? nats with the tokens after it; rounding is at most 0\.001/,
    ],
    [
      'with probabilities for logits',
      (graph) =>
        addNode(graph, 'Softmax', [displace(graph, 'logits', 'projected')], ['logits'], { axis: -1 }),
      'onnx-probabilities',
      /between 0 and 1/,
    ],
    [
      'with the logits of the last token alone, whatever it declares',
      (graph) => {
        const cut = [
          addConstant(graph, 'start', [-1]),
          addConstant(graph, 'end', [1000]),
          addConstant(graph, 'axes', [1]),
        ];
        addNode(graph, 'Slice', [displace(graph, 'logits', 'projected'), ...cut], ['logits']);
      },
      'onnx-last-logits',
      /logits of 1 tokens for a row of 5/,
    ],
    [
      'for one size of batch',
      (graph) => fix(graph, 0, 1),
      'onnx-fixed-shape',
      /input_ids is \[1, .*one size of batch/,
    ],
    [
      'for one length',
      (graph) => fix(graph, 1, 32),
      'onnx-fixed-shape',
      /, 32\], made for one length of rows/,
    ],
    [
      'for one size of batch, without a word of it',
      (graph) => {
        const width = graph.initializer.find(({ dims }) => dims[0] === 67n)!.dims[1]!;
        const { output } = graph.node.find(
          ({ opType, input }) => opType === 'Gather' && input[1] === 'input_ids',
        )!;
        const embedded = output[0]!;
        displace(graph, embedded, 'embedded');
        addNode(
          graph,
          'Reshape',
          ['embedded', addConstant(graph, 'flat', [1, -1, Number(width)])],
          [embedded],
        );
      },
      'onnx-run-failed',
      /does not run on a few short rows/,
    ],
    [
      'with an operator that the runtime lacks',
      (graph) => addNode(graph, 'Oracle', [displace(graph, 'logits', 'projected')], ['logits']),
      'onnx-run-failed',
      /Oracle/,
    ],
    [
      'beyond a length that its graph compares with',
      (graph) => addSwitch(graph, 50),
      'onnx-length-switch',
      /beyond 50 tokens .*\(is_long\).* changes by \d/,
    ],
    [
      'beyond a length that is too long to run',
      (graph, folder) => {
        writeFileSync(join(folder, 'config.json'), JSON.stringify({ max_position_embeddings: 131_072 }));
        addSwitch(graph, 5000);
      },
      'onnx-length-switch',
      /beyond 5000 tokens .* same batch changes;/,
    ],
    [
      'beyond the length at which its checkpoint takes other frequencies',
      (_, folder) => {
        const rope = { rope_scaling: { rope_type: 'longrope' }, original_max_position_embeddings: 64 };
        writeFileSync(join(folder, 'config.json'), JSON.stringify({ max_position_embeddings: 128, ...rope }));
      },
      'onnx-length-switch',
      /beyond 64 tokens .*longrope in config\.json/,
    ],
  ])('%s', async (_, change, code, message) => {
    const error = await refusal(bench.changed('llama-optimum', change));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe('a verdict', () => {
  it('is remembered by the bytes of the model: a second look runs nothing', async () => {
    const cacheFolder = join(bench.folder, 'own-cache');
    const folder = join(exportFixtures, 'llama-optimum');
    await prepareModel(folder, { ...settings, cacheFolder });
    const [name, ...more] = readdirSync(join(cacheFolder, 'probes'));
    expect(more).toEqual([]);
    const path = join(cacheFolder, 'probes', name!);
    const verdict = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    expect(Object.keys(verdict).filter((key) => !/^[a-z_]+$/.test(key))).toEqual([]);
    // One that was damaged is not believed; one without a digest is of an early version.
    writeFileSync(path, JSON.stringify({ ...verdict, batch_gap: 9 }));
    await prepareModel(folder, { ...settings, cacheFolder });
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(verdict);
    const { digest: _, ...early } = verdict;
    writeFileSync(path, JSON.stringify({ ...early, batch_gap: 9 }));
    await expect(prepareModel(folder, { ...settings, cacheFolder })).rejects.toThrow(/changes by 9 nats/);
    writeFileSync(path, 'damaged');
    await prepareModel(folder, { ...settings, cacheFolder });
    expect(readdirSync(cacheFolder).filter((each) => each.startsWith('probe-'))).toEqual([]);
  });
});

describe('of several files in a folder', () => {
  const layout = (...names: string[]): string => {
    const folder = join(bench.folder, names.join('-'));
    mkdirSync(join(folder, 'onnx'), { recursive: true });
    for (const name of names)
      cpSync(join(exportFixtures, 'llama-optimum/model.onnx'), join(folder, 'onnx', name));
    return folder;
  };
  it.each([
    ['model.onnx', ['model_fp16.onnx', 'model_q4.onnx', 'model_quantized.onnx']],
    ['model_fp16.onnx', ['model_int8.onnx', 'model_q4.onnx', 'model_quantized.onnx']],
    ['model_q4.onnx', ['model_q4f16.onnx', 'model_uint8.onnx']],
    ['decoder_model.onnx', ['decoder_model_merged.onnx', 'decoder_with_past_model.onnx']],
    ['model_quantized.onnx', []],
  ])('%s is taken before %j, and that is said', async (taken, others) => {
    const { path, others: named } = await examineOnnxExport(layout(taken, ...others), settings.cacheFolder);
    expect(path.endsWith(join('onnx', taken))).toBe(true);
    expect(named).toEqual(others.map((name) => join('onnx', name)));
  });

  it('none is taken where only 8-bit ones of several kinds are', async () => {
    expect(await refusal(layout('model_int8.onnx', 'model_quantized.onnx'))).toMatchObject({
      code: 'onnx-no-file',
    });
  });
});
