/** A decoder's parameters as values of a training graph, and their list before there is a graph. */
import { fatalError } from '../../errors.js';
import type { Decoder } from '../../model/decoder.js';
import type { Weights } from '../../model/weights.js';
import { GraphBuilder, type Value } from '../../onnx/graph.js';
import { castTo, narrow } from '../../onnx/ops/cast.js';
import { embedding } from '../../onnx/ops/embedding.js';
import { layOut, type Parameter } from '../parameters.js';

type Lookup = (name: string, shape: readonly number[]) => Value;

/** Weights that come from `tensor`, and those of embeddings and head from `table`. */
function weightsBy(
  g: GraphBuilder,
  has: (name: string) => boolean,
  tensor: Lookup,
  table: Lookup = tensor,
): Weights {
  return {
    has,
    tensor,
    head: table,
    optional: (wanted, name, shape) => (wanted ? tensor(name, shape) : null),
    embed: (name, shape, ids) => narrow(g, embedding(g, table(name, shape), ids, shape)),
  };
}

/** Calls `tensor` and `table` for everything that a decoder's graph uses. */
function visitWeights(decoder: Decoder, has: (name: string) => boolean, tensor: Lookup, table: Lookup): void {
  const g = new GraphBuilder('parameters');
  const weights = weightsBy(g, has, tensor, table);
  const ids = g.input('ids', 'int32', [1, 2]);
  decoder.body(g, weights, { ids, positionIds: null, documentIds: null, attention: 'fused', length: 2 });
  decoder.head(weights);
}

/**
 * The parameters that a decoder's graph uses, in the order of their first use.
 * @param has which names the checkpoint has, where names vary between checkpoints of one architecture
 */
export function parametersOf(decoder: Decoder, has: (name: string) => boolean): Parameter[] {
  const shapes = new Map<string, readonly number[]>();
  const note: Lookup = (name, shape) => {
    shapes.set(name, shape);
    return name;
  };
  visitWeights(decoder, has, note, note);
  return layOut([...shapes].map(([name, shape]) => ({ name, shape })));
}

/** The parameters as values of one graph, usable in the graphs within. */
export interface ParameterValues {
  /** float32, by name. */
  readonly master: ReadonlyMap<string, Value>;
  /** What gradients are asked of: the master, or its 16-bit copy where the body computes with that. */
  readonly used: ReadonlyMap<string, Value>;
}

/**
 * The parameters as the body takes them. In 16 bits, matrices and vectors are cast here, once however often the graphs within
 * use them; embeddings and the output embedding stay float32: of the one only the rows looked up are cast, the other is the head's.
 */
export function parameterValues(
  g: GraphBuilder,
  decoder: Decoder,
  has: (name: string) => boolean,
  master: ReadonlyMap<string, Value>,
): ParameterValues {
  if (g.float === 'float32') return { master, used: master };
  const tables = new Set<string>();
  visitWeights(
    decoder,
    has,
    (name) => name,
    (name) => {
      tables.add(name);
      return name;
    },
  );
  const used = [...master].map(
    ([name, value]) => [name, tables.has(name) ? value : castTo(g, value, g.float)] as const,
  );
  return { master, used: new Map(used) };
}

/** Weights over values that are there already; `g` is the graph they are used in. */
export function trainableWeights(
  g: GraphBuilder,
  { master, used }: ParameterValues,
  has: (name: string) => boolean,
): Weights {
  const found = (values: ReadonlyMap<string, Value>, name: string): Value => {
    const value = values.get(name);
    if (value === undefined)
      throw fatalError(
        'unknown-parameter',
        `the graph asks for parameter ${name}, which was not laid out; report this`,
      );
    return value;
  };
  return weightsBy(
    g,
    has,
    // A table that the body uses as a matrix too is cast where it does.
    (name) => {
      const value = found(used, name);
      return g.float !== 'float32' && value === found(master, name) ? narrow(g, value) : value;
    },
    (name) => found(master, name),
  );
}
