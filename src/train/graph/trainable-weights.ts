/** A decoder's parameters as values of a training graph, and their list before there is a graph. */
import { fatalError } from '../../errors.js';
import type { Decoder } from '../../model/decoder.js';
import type { Weights } from '../../model/weights.js';
import { GraphBuilder, type Value } from '../../onnx/graph.js';
import { embedding } from '../../onnx/ops/embedding.js';
import { layOut, type Parameter } from '../parameters.js';

/** Weights that come from `lookup`, whatever that does with a name and a shape. */
function weightsBy(
  g: GraphBuilder,
  has: (name: string) => boolean,
  lookup: (name: string, shape: readonly number[]) => Value,
): Weights {
  return {
    has,
    tensor: lookup,
    head: lookup,
    optional: (wanted, name, shape) => (wanted ? lookup(name, shape) : null),
    embed: (name, shape, ids) => embedding(g, lookup(name, shape), ids, shape),
  };
}

/**
 * The parameters that a decoder's graph uses, in the order of their first use.
 * @param has which names the checkpoint has, where names vary between checkpoints of one architecture
 */
export function parametersOf(decoder: Decoder, has: (name: string) => boolean): Parameter[] {
  const g = new GraphBuilder('parameters');
  const shapes = new Map<string, readonly number[]>();
  const weights = weightsBy(g, has, (name, shape) => {
    shapes.set(name, shape);
    return name;
  });
  const ids = g.input('ids', 'int32', [1, 2]);
  decoder.body(g, weights, { ids, positionIds: null, documentIds: null, attention: 'fused', length: 2 });
  decoder.head(weights);
  return layOut([...shapes].map(([name, shape]) => ({ name, shape })));
}

/** Weights over values that are there already; `g` is the graph they are used in. */
export function trainableWeights(
  g: GraphBuilder,
  values: ReadonlyMap<string, Value>,
  has: (name: string) => boolean,
): Weights {
  return weightsBy(g, has, (name) => {
    const value = values.get(name);
    if (value === undefined)
      throw fatalError(
        'unknown-parameter',
        `the graph asks for parameter ${name}, which was not laid out; report this`,
      );
    return value;
  });
}
