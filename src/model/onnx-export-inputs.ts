/** The inputs of an export: recognised by name and type, and made inside the graph from `input_ids`. */
import { TensorProto_DataType as DataType, type GraphProto, type ValueInfoProto } from 'onnx-buf';
import { fatalError } from '../errors.js';
import { contrib, type GraphBuilder, int, type Value } from '../onnx/graph.js';
import type { ExportConfig } from './onnx-export-file.js';
import { type DeclaredType, declaredType, fedInputs, usesOf } from './onnx-export-graph.js';

type Role = 'ids' | 'mask' | 'positions' | 'past' | 'zero';

interface ExportInput extends DeclaredType {
  readonly name: Value;
  readonly role: Role;
}

/** Whose inputs they are: the file, for messages, and what its folder's configuration says. */
interface InputContext {
  readonly file: string;
  readonly config: Pick<ExportConfig, 'kvHeads' | 'headSize'>;
}

const names: readonly (readonly [RegExp, Role])[] = [
  [/^input_ids$/, 'ids'],
  [/^attention_mask$/, 'mask'],
  // cache_position (torch.onnx of transformers): the same, of one dimension.
  [/^(position_ids|cache_position)$/, 'positions'],
  // past_key_values.0.key (optimum, genai), past_key_0, past_0.key, past_0 (onnxruntime.transformers).
  [/^past_(key_values|key|value|\d)/, 'past'],
  // optimum's merged decoder: false is the branch without a cache. logits_to_keep: 0 is all of them.
  [/^(use_cache_branch|(num_)?logits_to_keep)$/, 'zero'],
];

const integers: readonly number[] = [DataType.INT32, DataType.INT64];
const typesOf: Readonly<Record<Role, readonly number[]>> = {
  ids: integers,
  // As numbers, ones are right whether they are multiplied with or added to scores: a constant changes no softmax.
  mask: [...integers, DataType.BOOL, DataType.FLOAT, DataType.FLOAT16],
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
  refuseFixedSizes(inputs, file);
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

/** Sizes written into the graph hold for one batch shape only, and batches here are of many. */
function refuseFixedSizes(inputs: readonly ExportInput[], file: string): void {
  for (const { name, role, shape } of inputs) {
    if (role === 'zero' || role === 'past' || shape === null) continue;
    if (role === 'ids' && shape.length !== 2) {
      throw fatalError(
        'onnx-fixed-shape',
        `${file}: ${name} is [${shape.join(', ')}]; expected [batch, length]: export it again with rows in a batch`,
      );
    }
    const sizes = role === 'positions' && shape[0] === 1 ? shape.slice(1) : shape;
    if (sizes.every((size) => typeof size === 'string')) continue;
    const what = typeof shape.at(-1) === 'number' ? 'one length of rows' : 'one size of batch';
    throw fatalError(
      'onnx-fixed-shape',
      `${file}: ${name} is [${shape.join(', ')}], made for ${what}; expected both sizes free: export it again with dynamic axes (dynamic_shapes) for batch and length`,
    );
  }
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
  context: InputContext,
): Map<Value, Value> {
  const { file } = context;
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
        const row = g.node('Range', [g.int64(0), length, g.int64(1)]);
        const form = positionForm(input, file);
        if (form === 'row') return cast(row, elementType);
        return cast(
          form === 'one' ? g.node('Unsqueeze', [row, g.int64s([0])]) : g.node('Expand', [row, shape]),
          elementType,
        );
      }
      case 'past': {
        const zeros = g.node('ConstantOfShape', [cacheShape(g, shape, input, context)]);
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

/** Positions are [length] or [1, length], one row for all, or [batch, length]. */
function positionForm({ name, shape: declared }: ExportInput, file: string): 'row' | 'one' | 'batch' {
  const rank = declared?.length ?? (name === 'cache_position' ? 1 : 2);
  if (rank === 1) return 'row';
  if (rank === 2) return declared?.[0] === 1 ? 'one' : 'batch';
  throw fatalError(
    'onnx-unknown-input',
    `${file}: ${name} has ${rank} dimensions; expected [batch, length] or [length]: export a model whose positions are plain counts`,
  );
}

/**
 * [B, heads, 0, size]; [2, B, heads, 0, size] where keys and values are one tensor; [B, 0, size] where all heads are.
 * Sizes that are only named are those of the folder's configuration.
 */
function cacheShape(
  g: GraphBuilder,
  shape: Value,
  { name, shape: declared }: ExportInput,
  { file, config }: InputContext,
): Value {
  const refuse = (): never => {
    throw fatalError(
      'onnx-cache-shape',
      `${file}: cache ${name} is [${declared?.join(', ') ?? '?'}]; expected [batch, heads, length, size] or [2, batch, heads, length, size] with the length left open: export it without a static cache`,
    );
  };
  const rank = declared?.length ?? 0;
  if (declared === null || rank < 3 || rank > 5) return refuse();
  const batchAxis = Math.max(0, rank - 4);
  const sizes = declared.map((size, axis) => {
    if (axis === batchAxis) return g.node('Slice', [shape, g.int64s([0]), g.int64s([1])]);
    if (axis === rank - 2) return typeof size === 'string' ? g.int64s([0]) : refuse();
    const known = axis === rank - 1 ? config.headSize : rank > 3 ? config.kvHeads : null;
    const fixed = typeof size === 'number' ? size : known;
    return fixed == null ? refuse() : g.int64s([fixed]);
  });
  return g.node('Concat', sizes, { attributes: { axis: int(0) } });
}

/** Where fused attention takes its cache: keys and values, or both in one. */
const cacheInputs: Readonly<Record<string, readonly number[]>> = {
  GroupQueryAttention: [3, 4],
  MultiHeadAttention: [6, 7],
  Attention: [4],
};

/**
 * Takes the caches off fused attention in place: with neither past nor present it attends to the row alone and copies
 * nothing. Gives the inputs that nothing reads any more, so that none is made for them.
 */
export function dropFusedCaches(graph: GraphProto, inputs: readonly ExportInput[]): Set<Value> {
  const past = new Set(inputs.filter(({ role }) => role === 'past').map(({ name }) => name));
  const used = new Set(graph.node.flatMap(usesOf));
  for (const node of graph.node) {
    const at = node.domain === contrib ? (cacheInputs[node.opType] ?? []) : [];
    if (!at.some((i) => past.has(node.input[i] ?? ''))) continue;
    node.input = node.input.map((name, i) => (at.includes(i) && past.has(name) ? '' : name));
    if (!node.output.slice(1).some((name) => used.has(name))) node.output = node.output.slice(0, 1);
    // How the cache is stored, and refused without one; the window itself is local_window_size.
    node.attribute = node.attribute.filter(({ name }) => name !== 'sliding_window_cache');
  }
  const read = new Set(graph.node.flatMap(usesOf));
  return new Set([...past].filter((name) => !read.has(name)));
}
