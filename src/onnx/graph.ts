/**
 * A graph as plain data, and the builder that makes one. The protobuf form is a matter of `proto.ts` alone,
 * so that other passes (the loss head, reverse-mode differentiation) walk lists of nodes, not messages.
 */

import { fatalError } from '../errors.js';
import { type FloatType, floatBytes } from '../numbers/fp16-bf16.js';

/** Names a tensor of the graph; never empty. Where an optional input or output is left out, there is null instead. */
export type Value = string;

/**
 * A value that must be there.
 * @throws TokensieveError `no-value` (fatal): the graph's own mistake
 */
export function given(value: Value | null | undefined, what: string): Value {
  if (value) return value;
  throw fatalError('no-value', `a graph was built without its ${what}; report this`);
}

export type TensorType =
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'float64'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'bool';

/** A number is a fixed size, a string a free one (equal names are equal sizes). */
export type Dimension = number | string;

export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'graph'; readonly value: Graph };

export const int = (value: number): Attribute => ({ kind: 'int', value });
export const float = (value: number): Attribute => ({ kind: 'float', value });
export const string = (value: string): Attribute => ({ kind: 'string', value });
export const ints = (value: readonly number[]): Attribute => ({ kind: 'ints', value });
export const subgraph = (value: Graph): Attribute => ({ kind: 'graph', value });

export interface Node {
  readonly op: string;
  /** Empty for the operators of ONNX itself. */
  readonly domain: string;
  /** Null where an optional one is left out. */
  readonly inputs: readonly (Value | null)[];
  /** Null where nobody wants an optional one. */
  readonly outputs: readonly (Value | null)[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface TensorDeclaration {
  readonly name: Value;
  readonly type: TensorType;
  readonly shape: readonly Dimension[];
}

/** Bytes of a file in the graph's folder: little-endian, row-major, at any offset. */
export interface ExternalBytes {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export interface Initializer {
  readonly name: Value;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly data: Uint8Array | ExternalBytes;
}

export interface Graph {
  readonly name: string;
  readonly inputs: readonly TensorDeclaration[];
  readonly outputs: readonly TensorDeclaration[];
  readonly nodes: readonly Node[];
  readonly initializers: readonly Initializer[];
  /** Version of the operators, of an outermost graph; absent for the one that proto.ts declares. */
  readonly opset?: number;
}

/** Gradients of some values' inputs, given those of their outputs; null where nothing flows. */
export type Gradient = (outputs: readonly (Value | null)[]) => readonly (Value | null)[];

/** One differentiable step of a graph, which may be several nodes. */
export interface Recorded {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly gradient: Gradient;
}

/** Sizes of a batch, B and T. */
export interface BatchShape {
  readonly rows: number;
  readonly length: number;
}

export interface BuilderOptions {
  /** Note how gradients flow. */
  readonly recording?: boolean;
  readonly float?: FloatType;
  readonly batch?: BatchShape | null;
  /** As `Graph.opset`. */
  readonly opset?: number;
}

/** Outputs of a node by whether they are wanted. */
export type Outputs<W extends readonly boolean[]> = {
  [K in keyof W]: W[K] extends true ? Value : W[K] extends false ? null : Value | null;
};

/** Domain of ONNX Runtime's own operators. */
export const contrib = 'com.microsoft';

export interface NodeOptions {
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/**
 * Collects nodes and initialisers. Names are fresh across a builder and its `child` builders, so that a
 * subgraph may use any value of the graph around it.
 */
export class GraphBuilder {
  readonly #name: string;
  readonly #inputs: TensorDeclaration[] = [];
  readonly #outputs: TensorDeclaration[] = [];
  readonly #nodes: Node[] = [];
  readonly #initializers: Initializer[] = [];
  readonly #constants = new Map<string, Value>();
  readonly #names: Map<string, number>;
  /** What the ops of this graph recorded, in order; null unless the graph is to be differentiated. */
  readonly tape: Recorded[] | null;
  /** What the model's body computes in: weights, activations. */
  readonly float: FloatType;
  /** Rows and length of the one batch that the graph is for; null where they are free. */
  readonly batch: BatchShape | null;
  readonly #opset: number | null;

  constructor(name: string, options: BuilderOptions & { names?: Map<string, number> } = {}) {
    this.#name = name;
    this.#names = options.names ?? new Map();
    this.tape = options.recording === true ? [] : null;
    this.float = options.float ?? 'float32';
    this.batch = options.batch ?? null;
    this.#opset = options.opset ?? null;
  }

  /** A builder for the body of a Scan, Loop or If of this graph. */
  child(name: string, options: { recording?: boolean } = {}): GraphBuilder {
    const { float, batch } = this;
    return new GraphBuilder(this.fresh(name), { names: this.#names, float, batch, ...options });
  }

  /** Notes how gradients flow through nodes just added; every op does so beside its forward (see `tape.ts`). */
  record(inputs: readonly Value[], outputs: readonly Value[], gradient: Gradient): void {
    this.tape?.push({ inputs, outputs, gradient });
  }

  /** A name that nothing else has: `hint` itself the first time. */
  fresh(hint: string): Value {
    const count = this.#names.get(hint) ?? 0;
    this.#names.set(hint, count + 1);
    return count === 0 ? hint : this.fresh(`${hint}_${count}`);
  }

  input(name: string, type: TensorType, shape: readonly Dimension[]): Value {
    const value = this.fresh(name);
    this.#inputs.push({ name: value, type, shape });
    return value;
  }

  /** Declares `value` an output. In the outermost graph it goes by exactly `name`, through an Identity. */
  output(value: Value, name: string, type: TensorType, shape: readonly Dimension[]): void {
    const output = this.fresh(name);
    this.#nodes.push({ op: 'Identity', domain: '', inputs: [value], outputs: [output], attributes: {} });
    this.#outputs.push({ name: output, type, shape });
  }

  /** Adds a node with one output; null stands for an optional input that is left out. */
  node(op: string, inputs: readonly (Value | null)[], options: NodeOptions = {}): Value {
    const output = this.fresh(op);
    this.#push(op, inputs, [output], options);
    return output;
  }

  /** Adds a node with several outputs; a false entry is an optional output that nobody wants. */
  nodes<const W extends readonly boolean[]>(
    op: string,
    inputs: readonly (Value | null)[],
    wanted: W,
    options: NodeOptions = {},
  ): Outputs<W> {
    const outputs = wanted.map((want, index) => (want ? this.fresh(`${op}.${index}`) : null));
    this.#push(op, inputs, outputs, options);
    return outputs as Outputs<W>;
  }

  #push(op: string, inputs: Node['inputs'], outputs: Node['outputs'], options: NodeOptions): void {
    // A tensor that was lost on the way would read as an input left out, and be computed without.
    for (const input of inputs) if (input !== null) given(input, `input of ${op}`);
    this.#nodes.push({
      op,
      domain: options.domain ?? '',
      inputs,
      outputs,
      attributes: options.attributes ?? {},
    });
  }

  /** A tensor whose bytes lie in a file beside the graph. */
  external(name: string, type: TensorType, shape: readonly number[], data: ExternalBytes): Value {
    const value = this.fresh(name);
    this.#initializers.push({ name: value, type, shape, data });
    return value;
  }

  /** A float32 tensor held in the graph itself. */
  float32s(name: string, values: Float32Array, shape: readonly number[]): Value {
    return this.#tensor(name, 'float32', bytesOf(values), shape);
  }

  float64s(name: string, values: Float64Array, shape: readonly number[]): Value {
    return this.#tensor(name, 'float64', bytesOf(values), shape);
  }

  float64(value: number): Value {
    return this.#constant('float64', bytesOf(Float64Array.of(value)), [], `${value}`);
  }

  /** A one-dimensional int64 constant; equal ones are one tensor. */
  int64s(values: readonly number[]): Value {
    return this.#constant('int64', bytesOf(BigInt64Array.from(values, BigInt)), [values.length], `${values}`);
  }

  /** A one-dimensional int32 constant; equal ones are one tensor. */
  int32s(values: readonly number[]): Value {
    return this.#constant('int32', bytesOf(Int32Array.from(values)), [values.length], `${values}`);
  }

  /** A tensor of the body's float type, rounded to it. */
  floats(name: string, values: Float32Array, shape: readonly number[]): Value {
    return this.#tensor(name, this.float, floatBytes(values, this.float), shape);
  }

  /** A scalar of the body's float type. */
  scalar(value: number): Value {
    return this.#constant(this.float, floatBytes(Float32Array.of(value), this.float), [], `${value}`);
  }

  int64(value: number): Value {
    return this.#constant('int64', bytesOf(BigInt64Array.of(BigInt(value))), [], `${value}`);
  }

  int32(value: number): Value {
    return this.#constant('int32', bytesOf(Int32Array.of(value)), [], `${value}`);
  }

  float32(value: number): Value {
    return this.#constant('float32', bytesOf(Float32Array.of(value)), [], `${value}`);
  }

  #constant(type: TensorType, bytes: Uint8Array, shape: readonly number[], text: string): Value {
    const key = `${type}[${shape}]:${text}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const value = this.#tensor('const', type, bytes, shape);
    this.#constants.set(key, value);
    return value;
  }

  #tensor(name: string, type: TensorType, data: Uint8Array, shape: readonly number[]): Value {
    const value = this.fresh(name);
    this.#initializers.push({ name: value, type, shape, data });
    return value;
  }

  build(): Graph {
    return {
      name: this.#name,
      inputs: [...this.#inputs],
      outputs: [...this.#outputs],
      nodes: [...this.#nodes],
      initializers: [...this.#initializers],
      ...(this.#opset !== null && { opset: this.#opset }),
    };
  }
}
