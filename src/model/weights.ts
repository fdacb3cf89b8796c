/** Where a decoder's graph gets its parameters from. */
import { fatalError } from '../errors.js';
import { type GraphBuilder, int, type TensorType, type Value } from '../onnx/graph.js';
import type { TensorEntry } from './safetensors.js';

/** A model's parameters by the names that its checkpoints use. */
export interface Weights {
  has(name: string): boolean;
  /** The parameter as float32, of this shape. */
  float32(name: string, shape: readonly number[]): Value;
  /** The same, or null when `wanted` is false: for biases that a configuration leaves out. */
  optional(wanted: boolean, name: string, shape: readonly number[]): Value | null;
  /** Rows of an embedding [rows, width] for integer ids of any shape, as float32 [...ids, width]. */
  embed(name: string, shape: readonly [number, number], ids: Value): Value;
}

const floatTypes: Readonly<Record<string, TensorType>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

const onnxFloat32 = 1;

/** A checkpoint's tensors as initialisers: external, cast to float32 in the graph where needed. Remembers which were used. */
export class CheckpointWeights implements Weights {
  readonly #graph: GraphBuilder;
  readonly #tensors: ReadonlyMap<string, TensorEntry>;
  readonly #locate: (file: string) => string;
  readonly #folder: string;
  readonly #stored = new Map<string, Value>();
  readonly #float32 = new Map<string, Value>();
  readonly #used = new Map<string, TensorEntry>();

  /** `locate` gives the location that the graph names a weight file by; `folder` is the model's, for messages. */
  constructor(
    graph: GraphBuilder,
    tensors: ReadonlyMap<string, TensorEntry>,
    locate: (file: string) => string,
    folder: string,
  ) {
    this.#graph = graph;
    this.#tensors = tensors;
    this.#locate = locate;
    this.#folder = folder;
  }

  /** Tensors that the graph reads, once each. */
  get used(): readonly TensorEntry[] {
    return [...this.#used.values()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /**
   * The tensor as float32; a cast of a 16-bit one is folded when the session is made.
   * @throws fatal `missing-tensor`, `wrong-shape`, `unknown-weight-type`, naming the tensor.
   */
  float32(name: string, shape: readonly number[]): Value {
    const known = this.#float32.get(name);
    if (known !== undefined) return known;
    const stored = this.stored(name, shape);
    const value = this.#tensors.get(name)?.type === 'F32' ? stored : this.#cast(stored);
    this.#float32.set(name, value);
    return value;
  }

  optional(wanted: boolean, name: string, shape: readonly number[]): Value | null {
    return wanted ? this.float32(name, shape) : null;
  }

  /** Only the rows that are looked up are cast. */
  embed(name: string, shape: readonly [number, number], ids: Value): Value {
    const rows = this.#graph.node('Gather', [this.stored(name, shape), ids]);
    return this.#tensors.get(name)?.type === 'F32' ? rows : this.#cast(rows);
  }

  /** The tensor in the type it is stored in. */
  stored(name: string, shape: readonly number[]): Value {
    const entry = this.#tensors.get(name);
    if (entry === undefined) {
      throw fatalError(
        'missing-tensor',
        `${this.#folder}: tensor ${name} is missing from the checkpoint; expected it with shape [${shape}]: fetch the whole checkpoint, or check that config.json belongs to it`,
      );
    }
    const type = floatTypes[entry.type];
    if (type === undefined) {
      throw fatalError(
        'unknown-weight-type',
        `${entry.file}: tensor ${name} is stored as ${entry.type}; expected F32, F16 or BF16: save the checkpoint in one of these`,
      );
    }
    if (entry.shape.length !== shape.length || entry.shape.some((length, axis) => length !== shape[axis])) {
      throw fatalError(
        'wrong-shape',
        `${entry.file}: tensor ${name} has shape [${entry.shape}]; config.json implies [${shape}]: check that the two belong together`,
      );
    }
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

  #cast(value: Value): Value {
    return this.#graph.node('Cast', [value], { attributes: { to: int(onnxFloat32) } });
  }
}
