/** The inputs of an export: recognised by name and type, and made inside the graph from `input_ids`. */
import { TensorProto_DataType as DataType, type GraphProto, type ValueInfoProto } from 'onnx-buf';
import { fatalError } from '../errors.js';
import { type GraphBuilder, int, type Value } from '../onnx/graph.js';
import { type DeclaredType, declaredType, fedInputs, usesOf } from './onnx-export-graph.js';

type Role = 'ids' | 'mask' | 'positions' | 'past' | 'zero';

interface ExportInput extends DeclaredType {
  readonly name: Value;
  readonly role: Role;
}

const names: readonly (readonly [RegExp, Role])[] = [
  [/^input_ids$/, 'ids'],
  [/^attention_mask$/, 'mask'],
  [/^position_ids$/, 'positions'],
  // past_key_values.0.key (optimum, genai), past_key_0, past_0.key, past_0 (onnxruntime.transformers).
  [/^past_(key_values|key|value|\d)/, 'past'],
  // optimum's merged decoder: false is the branch without a cache. logits_to_keep: 0 is all of them.
  [/^(use_cache_branch|(num_)?logits_to_keep)$/, 'zero'],
];

const integers: readonly number[] = [DataType.INT32, DataType.INT64];
const typesOf: Readonly<Record<Role, readonly number[]>> = {
  ids: integers,
  mask: integers,
  positions: integers,
  past: [DataType.FLOAT, DataType.FLOAT16],
  zero: [...integers, DataType.BOOL],
};

/**
 * What each input of an export is.
 * @throws fatal `onnx-encoder-decoder`, `onnx-embeddings-input`, `onnx-unknown-input`, `onnx-no-ids`.
 */
export function classifyInputs(graph: GraphProto, file: string): ExportInput[] {
  const declared = fedInputs(graph);
  const listed = declared.map(({ name }) => name).join(', ');
  // Whole-model faults first: an unknown input of a speech decoder is no help to anyone.
  const crossed = declared.find(({ name }) => /encoder|cross|audio|^decoder_/.test(name));
  if (crossed !== undefined) {
    throw fatalError(
      'onnx-encoder-decoder',
      `${file}: input ${crossed.name} belongs to an encoder-decoder model; expected a decoder alone, which predicts each token from those before it: use a causal language model`,
    );
  }
  const embedded = declared.find(({ name }) => /embeds|embeddings/.test(name));
  if (embedded !== undefined) {
    throw fatalError(
      'onnx-embeddings-input',
      `${file}: takes embeddings (${embedded.name}), not token ids; expected input_ids: export the model with its embedding`,
    );
  }
  const inputs = declared.map((input) => classify(input, file, listed));
  if (!inputs.some(({ role }) => role === 'ids')) {
    throw fatalError(
      'onnx-no-ids',
      `${file}: has no input_ids among its inputs (${listed}); export a causal language model`,
    );
  }
  return inputs;
}

function classify(input: ValueInfoProto, file: string, listed: string): ExportInput {
  const { name } = input;
  const type = declaredType(input);
  const role = names.find(([pattern]) => pattern.test(name))?.[1];
  if (role !== undefined && typesOf[role].includes(type.elementType)) return { name, role, ...type };
  const found = `${DataType[type.elementType] ?? 'of no type'} [${type.shape?.join(', ') ?? '?'}]`;
  throw fatalError(
    'onnx-unknown-input',
    `${file}: input ${name}, ${found}, is not one that scoring can fill (inputs: ${listed}); expected input_ids, attention_mask, position_ids and past_key_values, ids and masks of int32 or int64: export it again with optimum or onnxruntime-genai`,
  );
}

/**
 * Adds what makes each input from ids [B, T] int32: attention everywhere, positions 0 to T − 1, caches of length 0.
 * Gives, for each input's name, the value that takes its place.
 * @throws fatal `onnx-cache-shape` for a cache whose length cannot be 0.
 */
export function makeInputs(
  g: GraphBuilder,
  ids: Value,
  inputs: readonly ExportInput[],
  file: string,
): Map<Value, Value> {
  const shape = g.node('Shape', [ids]);
  const cast = (x: Value, to: number): Value => g.node('Cast', [x], { attributes: { to: int(to) } });
  const made = (input: ExportInput): Value => {
    const { role, elementType } = input;
    switch (role) {
      case 'ids':
        return elementType === DataType.INT32 ? ids : cast(ids, elementType);
      case 'mask':
        return cast(g.node('Expand', [g.int64(1), maskShape(shape, input, file)]), elementType);
      case 'positions': {
        const length = g.node('Gather', [shape, g.int64(1)]);
        return cast(
          g.node('Expand', [g.node('Range', [g.int64(0), length, g.int64(1)]), shape]),
          elementType,
        );
      }
      case 'past': {
        const zeros = g.node('ConstantOfShape', [cacheShape(g, shape, input, file)]);
        return elementType === DataType.FLOAT ? zeros : cast(zeros, elementType);
      }
      case 'zero':
        return cast(input.shape?.length === 0 ? g.int64(0) : g.int64s([0]), elementType);
    }
  };
  return new Map(inputs.map((input) => [input.name, made(input)]));
}

function maskShape(shape: Value, { name, shape: declared }: ExportInput, file: string): Value {
  if (declared === null || declared.length === 2) return shape;
  throw fatalError(
    'onnx-unknown-input',
    `${file}: ${name} has ${declared.length} dimensions; expected [batch, length]: export it again with a plain attention mask`,
  );
}

/** [B, heads, 0, size], or [2, B, heads, 0, size] where keys and values are one tensor. */
function cacheShape(
  g: GraphBuilder,
  shape: Value,
  { name, shape: declared }: ExportInput,
  file: string,
): Value {
  const refuse = (): never => {
    throw fatalError(
      'onnx-cache-shape',
      `${file}: cache ${name} is [${declared?.join(', ') ?? '?'}]; expected [batch, heads, length, size] or [2, batch, heads, length, size] with the length left open: export it without a static cache`,
    );
  };
  const batchAxis = (declared?.length ?? 0) - 4;
  if (declared === null || batchAxis < 0 || batchAxis > 1) return refuse();
  const sizes = declared.map((size, axis) => {
    if (axis === batchAxis) return g.node('Slice', [shape, g.int64s([0]), g.int64s([1])]);
    if (axis === batchAxis + 2) return typeof size === 'string' ? g.int64s([0]) : refuse();
    return typeof size === 'number' ? g.int64s([size]) : refuse();
  });
  return g.node('Concat', sizes, { attributes: { axis: int(0) } });
}

/**
 * Takes the caches off GroupQueryAttention in place: with neither past nor present it attends to the row alone
 * and copies nothing. Gives the inputs that nothing reads any more, so that none is made for them.
 */
export function dropFusedCaches(graph: GraphProto, inputs: readonly ExportInput[]): Set<Value> {
  const past = new Set(inputs.filter(({ role }) => role === 'past').map(({ name }) => name));
  const used = new Set(graph.node.flatMap(usesOf));
  for (const node of graph.node) {
    if (node.opType !== 'GroupQueryAttention') continue;
    node.input = node.input.map((name, i) => ((i === 3 || i === 4) && past.has(name) ? '' : name));
    if (!node.output.slice(1).some((name) => used.has(name))) node.output = node.output.slice(0, 1);
  }
  const read = new Set(graph.node.flatMap(usesOf));
  return new Set([...past].filter((name) => !read.has(name)));
}
