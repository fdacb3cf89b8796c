/** Where a decoder's graph gets its parameters from. */
import { fatalError } from '../errors.js';
import type { FloatType } from '../numbers/fp16-bf16.js';
import type { GraphBuilder, Value } from '../onnx/graph.js';
import { castTo } from '../onnx/ops/cast.js';
import type { TensorEntry } from './safetensors.js';

/** A model's parameters by the names that its checkpoints use. */
export interface Weights {
  /** The parameter in the graph's float type, of this shape. */
  tensor(name: string, shape: readonly number[]): Value;
  /** The parameter as the loss head takes it: float32 unless its product is a mixed one. */
  head(name: string, shape: readonly number[]): Value;
  /** The same, or null when `wanted` is false: for biases that a configuration leaves out. */
  optional(wanted: boolean, name: string, shape: readonly number[]): Value | null;
  /** Rows of an embedding [rows, width] for integer ids of any shape, as [...ids, width] of the graph's float type. */
  embed(name: string, shape: readonly [number, number], ids: Value): Value;
}

const floatTypes: Readonly<Record<string, FloatType>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/**
 * Checks a tensor against the parameter that it is to be. @returns its type in a graph
 * @throws fatal `wrong-shape`, `unknown-weight-type`, naming the tensor
 */
export function checkTensor(entry: TensorEntry, parameter: string, shape: readonly number[]): FloatType {
  const { name, file } = entry;
  const tensor = name === parameter ? `tensor ${name}` : `tensor ${name} (${parameter})`;
  const type = Object.hasOwn(floatTypes, entry.type) ? floatTypes[entry.type] : undefined;
  if (type === undefined) {
    throw fatalError(
      'unknown-weight-type',
      `${file}: ${tensor} is stored as ${entry.type}; expected F32, F16 or BF16: save the checkpoint in one of these`,
    );
  }
  if (entry.shape.length !== shape.length || entry.shape.some((length, axis) => length !== shape[axis])) {
    throw fatalError(
      'wrong-shape',
      `${file}: ${tensor} has shape [${entry.shape}]; config.json implies [${shape}]: check that the two belong together`,
    );
  }
  return type;
}

/** A checkpoint's tensors as initialisers: external, cast in the graph where needed. Remembers which were used. */
export class CheckpointWeights implements Weights {
  readonly #graph: GraphBuilder;
  readonly #tensors: ReadonlyMap<string, TensorEntry>;
  readonly #locate: (file: string) => string;
  readonly #folder: string;
  readonly #stored = new Map<string, Value>();
  readonly #cast = new Map<string, Value>();
  readonly #headType: FloatType;
  readonly #used = new Map<string, TensorEntry>();

  /** `locate` gives the location that the graph names a weight file by; `folder` is the model's, for messages. */
  constructor(
    graph: GraphBuilder,
    tensors: ReadonlyMap<string, TensorEntry>,
    locate: (file: string) => string,
    folder: string,
    headType: FloatType = 'float32',
  ) {
    this.#graph = graph;
    this.#headType = headType;
    this.#tensors = tensors;
    this.#locate = locate;
    this.#folder = folder;
  }

  /** Tensors that the graph reads, once each. */
  get used(): readonly TensorEntry[] {
    return [...this.#used.values()];
  }

  /**
   * The tensor in the graph's float type; a cast is folded when the session is made.
   * @throws fatal `wrong-shape`, `unknown-weight-type`, naming the tensor.
   */
  tensor(name: string, shape: readonly number[]): Value {
    return this.#as(this.#graph.float, name, shape);
  }

  head(name: string, shape: readonly number[]): Value {
    return this.#as(this.#headType, name, shape);
  }

  #as(type: FloatType, name: string, shape: readonly number[]): Value {
    const key = `${type} ${name}`;
    const known = this.#cast.get(key);
    if (known !== undefined) return known;
    const value = this.#castTo(type, name, this.stored(name, shape));
    this.#cast.set(key, value);
    return value;
  }

  optional(wanted: boolean, name: string, shape: readonly number[]): Value | null {
    return wanted ? this.tensor(name, shape) : null;
  }

  /** Only the rows that are looked up are cast. */
  embed(name: string, shape: readonly [number, number], ids: Value): Value {
    const rows = this.#graph.node('Gather', [this.stored(name, shape), ids]);
    return this.#castTo(this.#graph.float, name, rows);
  }

  /** The tensor in the type it is stored in. */
  stored(name: string, shape: readonly number[]): Value {
    const entry = this.#tensors.get(name);
    if (entry === undefined) {
      throw fatalError('missing-tensor', `${this.#folder}: the graph asks for tensor ${name}; report this`);
    }
    const type = checkTensor(entry, name, shape);
    const known = this.#stored.get(name);
    if (known !== undefined) return known;
    const { offset, length } = entry;
    const value = this.#graph.external(name, type, shape, {
      location: this.#locate(entry.file),
      offset,
      length,
    });
    this.#stored.set(name, value);
    this.#used.set(name, entry);
    return value;
  }

  /** `value`, of the type that the tensor is stored in, as `type`. */
  #castTo(type: FloatType, name: string, value: Value): Value {
    if (floatTypes[this.#tensors.get(name)?.type ?? ''] === type) return value;
    return castTo(this.#graph, value, type);
  }
}
