/** Changes of an ONNX model by its messages: names, types, shapes, attributes, external data. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { change, number } from './bytes.mjs';
import { fixtures } from './support.mjs';

let seeds;
export function onnxSeeds() {
  seeds ??= readdirSync(join(fixtures, 'models/onnx'))
    .sort()
    .map((name) => {
      const folder = join(fixtures, 'models/onnx', name);
      return Object.fromEntries(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))]));
    });
  return seeds;
}

/** Every message of a graph with its subgraphs. */
function* messagesOf(value, depth = 0) {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || depth > 14) return;
  if (Array.isArray(value)) {
    for (const item of value) yield* messagesOf(item, depth + 1);
    return;
  }
  if ('$typeName' in value) yield value;
  for (const inner of Object.values(value)) yield* messagesOf(inner, depth + 1);
}

const OPS = [
  'Loop',
  'If',
  'Scan',
  'ConstantOfShape',
  'Expand',
  'Tile',
  'Range',
  'Reshape',
  'Gather',
  'Identity',
  'Pad',
  'Resize',
  'OneHot',
  'Attention',
  'EPContext',
  'Einsum',
  'RandomNormal',
  'Split',
  'Concat',
  'Cast',
  'MatMulNBits',
  'Constant',
  'SequenceConstruct',
  '',
];

function changeMessage(draw, message) {
  // Of a graph without inputs, say.
  if (message === undefined || message === null) return;
  const keys = Object.keys(message).filter((key) => key !== '$typeName' && key !== '$unknown');
  if (keys.length === 0) return;
  const key = draw.pick(keys);
  const value = message[key];
  if (typeof value === 'string')
    message[key] = draw.pick([
      draw.pick(OPS),
      draw.pick(draw.paths),
      '',
      '0',
      '-1',
      '18446744073709551616',
      'NaN',
      'input_ids',
      'logits',
      'loss',
      'x'.repeat(3000),
      'a\nb',
      '__proto__',
    ]);
  else if (typeof value === 'bigint') message[key] = BigInt.asIntN(64, number(draw, value));
  else if (typeof value === 'number') message[key] = draw.pick([value + 1, 0, 1, 7, 10, 16, 2 ** 31 - 1, -1]);
  else if (ArrayBuffer.isView(value))
    message[key] = new Uint8Array(change(draw, Buffer.from(value.subarray(0, 65536))));
  else if (Array.isArray(value)) {
    switch (draw.below(4)) {
      case 0:
        value.splice(draw.below(value.length), 1);
        return;
      case 1:
        if (value.length > 0) value.push(...Array(1 + draw.small(40)).fill(draw.pick(value)));
        return;
      case 2:
        if (value.length > 1) {
          const [a, b] = [draw.below(value.length), draw.below(value.length)];
          [value[a], value[b]] = [value[b], value[a]];
        }
        return;
      default: {
        const at = draw.below(value.length);
        if (typeof value[at] === 'bigint') value[at] = BigInt.asIntN(64, number(draw, value[at]));
        if (typeof value[at] === 'string') value[at] = draw.pick(value);
      }
    }
  }
}

/** External data that points where a hostile author would like it. */
function placeOutside(draw, model) {
  const tensors = [...messagesOf(model.graph)].filter(({ $typeName }) => $typeName === 'onnx.TensorProto');
  const tensor = draw.pick(tensors);
  if (!tensor) return;
  tensor.dataLocation = 1;
  const elements = tensor.dims.reduce((product, size) => product * size, 1n);
  const entry = (key, value) => ({ $typeName: 'onnx.StringStringEntryProto', key, value });
  tensor.externalData = [
    entry(
      'location',
      draw.pick([
        ...draw.paths,
        'link',
        'data.bin',
        'sub/data.bin',
        '',
        '.',
        '/dev/zero',
        '/proc/self/environ',
        'link/canary.txt',
        '*/_ORT_MEM_ADDR_/*',
      ]),
    ),
    ...(draw.chance(0.8)
      ? [
          entry(
            'offset',
            draw.pick([
              '0',
              '-16',
              '1',
              '4096',
              '9223372036854775807',
              '-9223372036854775808',
              '1e3',
              '0x10',
              ' 8',
              'NaN',
              '94000000000000',
            ]),
          ),
        ]
      : []),
    ...(draw.chance(0.8)
      ? [
          entry(
            'length',
            draw.pick([
              String(elements * 4n),
              String(elements * 4n),
              '0',
              '-1',
              '16',
              '9223372036854775807',
              'x',
            ]),
          ),
        ]
      : []),
    ...(draw.chance(0.1) ? [entry('location', draw.pick(draw.paths))] : []),
  ];
  if (draw.chance(0.7)) tensor.rawData = new Uint8Array(0);
}

export function changeModel(draw) {
  const seed = draw.pick(onnxSeeds());
  let bytes = seed['model.onnx'];
  const kind = draw.below(5);
  if (kind > 0) {
    const model = fromBinary(ModelProtoSchema, bytes);
    if (kind === 1) placeOutside(draw, model);
    const all = [...messagesOf(model)];
    for (let i = kind === 1 ? 0 : draw.small(6); i >= 0; i--) {
      if (kind === 1 && draw.chance(0.6)) continue;
      changeMessage(
        draw,
        draw.chance(0.3)
          ? draw.pick([model.graph, draw.pick(model.graph.input), draw.pick(model.graph.output)])
          : draw.pick(all),
      );
    }
    try {
      bytes = Buffer.from(toBinary(ModelProtoSchema, model));
    } catch {
      bytes = change(draw, bytes);
    }
  }
  if (kind === 0 || draw.chance(0.05)) bytes = change(draw, bytes);
  const files = { ...seed, 'model.onnx': bytes };
  if (draw.chance(0.3)) files.link = { link: draw.outside };
  if (draw.chance(0.3))
    files['data.bin'] = draw.chance(0.5)
      ? { link: join(draw.outside, 'canary.txt') }
      : Buffer.alloc(100_000, 1);
  return files;
}
