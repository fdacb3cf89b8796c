import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  TensorProtoSchema,
} from 'onnx-buf';
import { afterAll, describe, expect, it } from 'vitest';
import { prepareModel } from '#tokensieve/model/prepare.js';
import { readGolden } from '../support/oracle/golden.js';
import { lossesOfExport } from '../support/oracle-export.js';
import { runPrepared } from '../support/oracle-run.js';

// What follows the last projection is repeated in the loss head's loop, whatever the exporter put there: the
// losses must be those of the export as it is.
const scratch = mkdtempSync(join(tmpdir(), 'onnx-head-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const exported = fileURLToPath(
  new URL('../../fixtures/models/onnx/llama-optimum/model.onnx', import.meta.url),
);
const settings = {
  device: 'cpu',
  attention: 'across',
  entropy: true,
  cacheFolder: join(scratch, 'cache'),
} as const;
const vocabulary = 67;
const rows = readGolden('llama-export').rows.slice(0, 2);

type Step = readonly [op: string, ...constants: (number | readonly number[])[]];

const softCap: readonly Step[] = [['Div', 3], ['Tanh'], ['Mul', 3]];
const bias: Step = ['Add', Array.from({ length: vocabulary }, (_, i) => Math.sin(i))];
const tails: readonly (readonly [string, boolean, readonly Step[]])[] = [
  ['nothing', true, []],
  ['a soft cap', true, softCap],
  ['a bias, then a scale', true, [bias, ['Mul', 0.7]]],
  [
    'half precision and back',
    true,
    [
      ['Cast', DataType.FLOAT16],
      ['Cast', DataType.FLOAT],
    ],
  ],
  ['half precision', true, [['Cast', DataType.FLOAT16]]],
  ['an operator that is not known to be row-wise', false, [['Softsign']]],
];

describe.each(tails)('after the last projection: %s', (name, chunked, steps) => {
  const half = name === 'half precision';
  // The runtime's JavaScript reads no half-precision logits: as it is, the export widens them again.
  const asItIs = write(`${name}, as it is`, half ? [...steps, ['Cast', DataType.FLOAT]] : steps, false);
  const path = write(name, steps, half);

  it('the losses are those of the export', async () => {
    const prepared = await prepareModel(join(path, '..'), settings);
    for (const ids of rows) {
      const product = await runPrepared(prepared, [{ ids }]);
      const wanted = await lossesOfExport(asItIs, ids);
      wanted.loss.forEach((loss, t) => {
        expect(Math.abs(product.loss[0]![t]! - loss), `token ${t + 1}`).toBeLessThan(2e-5);
        expect(Math.abs(product.entropy[0]![t]! - wanted.entropy[t]!)).toBeLessThan(2e-5);
      });
    }
  });

  it(chunked ? 'the projection is inside the loop' : 'the logits stay whole', async () => {
    const { graphPath } = await prepareModel(join(path, '..'), settings);
    const { graph } = fromBinary(ModelProtoSchema, readFileSync(graphPath));
    const projects = (nodes: readonly NodeProto[]): boolean =>
      nodes.some(({ opType, input }) => opType === 'MatMul' && input[1] === headName);
    const loop = graph!.node.find(({ opType }) => opType === 'Scan');
    expect([projects(graph!.node), projects(loop!.attribute.find(({ g }) => g)!.g!.node)]).toEqual([
      !chunked,
      chunked,
    ]);
  });
});

let headName: string;

/** The export with `steps` between its projection and its logits; gives the path of its file. */
function write(name: string, steps: readonly Step[], half: boolean): string {
  const model = fromBinary(ModelProtoSchema, readFileSync(exported));
  const graph = model.graph!;
  const projection = graph.node.find(({ output }) => output[0] === 'logits')!;
  headName = projection.input[1]!;
  for (const [i, step] of steps.entries()) {
    addStep(graph, step, i === steps.length - 1 ? 'logits' : `step_${i}`, i);
  }
  if (steps.length > 0) projection.output = ['projected'];
  const type = graph.output.find((each) => each.name === 'logits')!.type!.value;
  if (half && type.case === 'tensorType') type.value.elemType = DataType.FLOAT16;
  const folder = join(scratch, name.replaceAll(' ', '-'));
  mkdirSync(folder);
  writeFileSync(join(folder, 'model.onnx'), toBinary(ModelProtoSchema, model));
  return join(folder, 'model.onnx');
}

function addStep(graph: GraphProto, [opType, constant]: Step, output: string, i: number): void {
  const input = [i === 0 ? 'projected' : `step_${i - 1}`];
  const attribute = opType === 'Cast' ? [integer('to', constant as number)] : [];
  if (opType !== 'Cast' && constant !== undefined) {
    const values = Float32Array.from([constant].flat() as number[]);
    const dims = Array.isArray(constant) ? [BigInt(values.length)] : [];
    const rawData = new Uint8Array(values.buffer);
    graph.initializer.push(
      create(TensorProtoSchema, { name: `constant_${i}`, dataType: DataType.FLOAT, dims, rawData }),
    );
    input.push(`constant_${i}`);
  }
  graph.node.push(create(NodeProtoSchema, { opType, input, output: [output], attribute }));
}

const integer = (name: string, value: number) =>
  create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
