/** A decoder's parameters as values of a training graph, and their list before there is a graph. */
import { fatalError } from '../../errors.js';
import type { Decoder } from '../../model/decoder.js';
import { decoderParameters, visitParameters } from '../../model/decoder-parameters.js';
import type { Weights } from '../../model/weights.js';
import type { GraphBuilder, Value } from '../../onnx/graph.js';
import { castTo, narrow } from '../../onnx/ops/cast.js';
import { embedding } from '../../onnx/ops/embedding.js';
import { layOut, type Parameter } from '../parameters.js';

/** The parameters that a decoder's graph uses, in the order of their first use. */
export const parametersOf = (decoder: Decoder): Parameter[] => layOut(decoderParameters(decoder));

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
  master: ReadonlyMap<string, Value>,
): ParameterValues {
  if (g.float === 'float32') return { master, used: master };
  const tables = new Set<string>();
  visitParameters(decoder, ({ name }, use) => {
    if (use === 'table') tables.add(name);
  });
  const used = [...master].map(
    ([name, value]) => [name, tables.has(name) ? value : castTo(g, value, g.float)] as const,
  );
  return { master, used: new Map(used) };
}

/** Weights over values that are there already; `g` is the graph they are used in. */
export function trainableWeights(g: GraphBuilder, { master, used }: ParameterValues): Weights {
  const found = (values: ReadonlyMap<string, Value>, name: string): Value => {
    const value = values.get(name);
    if (value === undefined)
      throw fatalError(
        'unknown-parameter',
        `the graph asks for parameter ${name}, which was not laid out; report this`,
      );
    return value;
  };
  const table = (name: string): Value => found(master, name);
  // A table that the body uses as a matrix too is cast where it does.
  const tensor = (name: string): Value => {
    const value = found(used, name);
    return g.float !== 'float32' && value === found(master, name) ? narrow(g, value) : value;
  };
  return {
    tensor,
    head: table,
    optional: (wanted, name) => (wanted ? tensor(name) : null),
    embed: (name, shape, ids) => narrow(g, embedding(g, table(name), ids, shape)),
  };
}
