import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type GraphProto,
  ModelProtoSchema,
  NodeProtoSchema,
  type TensorShapeProto_Dimension,
  TensorShapeProto_DimensionSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareModel } from '#tokensieve/model/prepare.js';

const scratch = mkdtempSync(join(tmpdir(), 'onnx-refusals-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const fixtures = fileURLToPath(new URL('../../fixtures/models/onnx/', import.meta.url));
const settings = {
  device: 'cpu',
  attention: 'across',
  entropy: false,
  cacheFolder: join(scratch, 'cache'),
} as const;

let made = 0;
/** A folder with a changed copy of an export. */
function changed(from: string, change: (graph: GraphProto, folder: string) => void): string {
  const folder = join(scratch, `${made++}`);
  cpSync(join(fixtures, from), folder, { recursive: true });
  const path = join(folder, 'model.onnx');
  const model = fromBinary(ModelProtoSchema, readFileSync(path));
  change(model.graph!, folder);
  writeFileSync(path, toBinary(ModelProtoSchema, model));
  return folder;
}

const refusal = (folder: string): Promise<unknown> =>
  prepareModel(folder, settings).then(
    () => expect.fail('was accepted'),
    (error: unknown) => error,
  );

const fixed = (size: number): TensorShapeProto_Dimension =>
  create(TensorShapeProto_DimensionSchema, { value: { case: 'dimValue', value: BigInt(size) } });

function shapeOf(graph: GraphProto, name: string): TensorShapeProto_Dimension[] {
  const type = [...graph.input, ...graph.output].find((each) => each.name === name)!.type!.value;
  if (type.case !== 'tensorType') throw new Error(`${name} is no tensor`);
  return type.value.shape!.dim;
}

describe('an export that cannot be scored is refused in one line', () => {
  const rename = (from: string, to: string) => (graph: GraphProto) => {
    for (const each of [...graph.input, ...graph.output]) if (each.name === from) each.name = to;
    for (const node of graph.node) {
      node.input = node.input.map((name) => (name === from ? to : name));
      node.output = node.output.map((name) => (name === from ? to : name));
    }
  };

  it.each<[string, string, (graph: GraphProto, folder: string) => void, string, RegExp]>([
    [
      'without logits',
      'llama-optimum',
      rename('logits', 'last_hidden_state'),
      'onnx-no-logits',
      /outputs: last_hidden_state/,
    ],
    [
      'with an input of its own',
      'llama-optimum',
      rename('attention_mask', 'token_types'),
      'onnx-unknown-input',
      /input token_types, INT64 \[batch_size, sequence_length\]/,
    ],
    [
      'without ids',
      'llama-optimum',
      (graph) => {
        graph.input = graph.input.filter(({ name }) => name !== 'input_ids');
      },
      'onnx-no-ids',
      /no input_ids among its inputs \(attention_mask, position_ids\)/,
    ],
    [
      'with an encoder',
      'llama-optimum',
      rename('attention_mask', 'encoder_attention_mask'),
      'onnx-encoder-decoder',
      /encoder_attention_mask/,
    ],
    [
      'with a static cache',
      'llama-optimum-past',
      (graph) => shapeOf(graph, 'past_key_values.0.key').splice(2, 1, fixed(64)),
      'onnx-cache-shape',
      /past_key_values\.0\.key is \[batch_size, 1, 64, 16\]/,
    ],
    [
      'with the last logits alone',
      'llama-genai-fp32',
      (graph) => shapeOf(graph, 'logits').splice(1, 1, fixed(1)),
      'onnx-logits-shape',
      /\[batch_size, 1, 67\].*free length/,
    ],
    [
      'whose logits are declared otherwise than computed',
      'llama-optimum',
      (graph) => shapeOf(graph, 'logits').splice(2, 1, fixed(70)),
      'onnx-logits-shape',
      /70 columns and its last projection 67/,
    ],
    [
      'whose data file is cut short',
      'llama-genai-fp32',
      (_, folder) => writeFileSync(join(folder, 'model.onnx.data'), new Uint8Array(100)),
      'onnx-data-file',
      /has 100 bytes, but .* ends at/,
    ],
    [
      'whose data file is missing',
      'llama-genai-fp32',
      (_, folder) => rmSync(join(folder, 'model.onnx.data')),
      'onnx-data-file',
      /"model\.onnx\.data", which is missing/,
    ],
    [
      'that reads files outside of its folder',
      'llama-genai-fp32',
      (graph) => point(graph, '../../../etc/passwd'),
      'onnx-data-file',
      /outside of its folder/,
    ],
    [
      'that reads a file by its absolute path',
      'llama-genai-fp32',
      (graph) => point(graph, '/etc/passwd'),
      'onnx-data-file',
      /outside of its folder/,
    ],
  ])('%s', async (_, from, change, code, message) => {
    const error = await refusal(changed(from, change));
    expect(error).toMatchObject({ code, reach: 'fatal', message: expect.stringMatching(message) });
    expect((error as Error).message).not.toContain('\n');
  });

  function point(graph: GraphProto, location: string): void {
    for (const field of graph.initializer[0]!.externalData)
      if (field.key === 'location') field.value = location;
  }

  it('when a row is to keep its documents apart', async () => {
    const within = { ...settings, attention: 'within' } as const;
    await expect(prepareModel(join(fixtures, 'llama-optimum'), within)).rejects.toMatchObject({
      reach: 'usage',
      code: 'onnx-attention',
    });
  });

  it.each([
    ['of another format', Buffer.from('PK\u0003\u0004 not protobuf'), /not a protobuf message/],
    ['that is empty', Buffer.alloc(0), /holds no graph/],
    [
      'cut in the middle',
      readFileSync(join(fixtures, 'llama-optimum/model.onnx')).subarray(0, 40_000),
      /protobuf/,
    ],
  ])('%s', async (_, bytes, message) => {
    const folder = join(scratch, `${made++}`);
    mkdirSync(folder);
    writeFileSync(join(folder, 'model.onnx'), bytes);
    expect(await refusal(folder)).toMatchObject({
      code: 'onnx-unreadable',
      message: expect.stringMatching(message),
    });
  });

  it('whose logits are computed in a circle, without walking it for ever', async () => {
    const folder = changed('llama-optimum', (graph) => {
      rename('logits', 'projected')(graph);
      graph.output[0]!.name = 'logits';
      const circle: [string[], string][] = [
        [['b', 'input_ids'], 'logits'],
        [['logits'], 'b'],
      ];
      for (const [input, output] of circle) {
        graph.node.push(create(NodeProtoSchema, { opType: 'Identity', input, output: [output] }));
      }
    });
    expect(await refusal(folder)).toMatchObject({
      code: 'onnx-unreadable',
      message: expect.stringMatching(/wait for each other/),
    });
  });

  it('that is one of several in its folder', async () => {
    const folder = join(scratch, `${made++}`);
    mkdirSync(folder);
    for (const name of ['a.onnx', 'b.onnx'])
      copyFileSync(join(fixtures, 'llama-optimum/model.onnx'), join(folder, name));
    expect(await refusal(folder)).toMatchObject({
      code: 'onnx-no-file',
      message: expect.stringMatching(/a\.onnx, b\.onnx/),
    });
  });
});

describe('an export laid out otherwise', () => {
  let plain: string;
  beforeAll(async () => {
    plain = (await prepareModel(join(fixtures, 'llama-genai-fp32'), settings)).info.hash;
  });

  it('in an onnx folder is found', async () => {
    const folder = join(scratch, `${made++}`);
    cpSync(join(fixtures, 'llama-optimum'), join(folder, 'onnx'), { recursive: true });
    expect((await prepareModel(folder, settings)).info.vocabularySize).toBe(67);
  });

  it('as links into another folder, like a download cache, is the same model', async () => {
    const folder = join(scratch, `${made++}`);
    mkdirSync(folder);
    for (const name of ['model.onnx', 'model.onnx.data', 'genai_config.json']) {
      symlinkSync(join(fixtures, 'llama-genai-fp32', name), join(folder, name));
    }
    expect((await prepareModel(folder, settings)).info.hash).toBe(plain);
  });

  it('with weights listed among its inputs, as old exporters do, is read', async () => {
    const folder = changed('llama-optimum', (graph) => {
      for (const { name } of graph.initializer) graph.input.push(create(ValueInfoProtoSchema, { name }));
    });
    expect((await prepareModel(folder, settings)).info.vocabularySize).toBe(67);
  });
});
