/** What a decoder's graph asks its checkpoint for, found by building the graph of a two-token row over names alone. */
import { GraphBuilder } from '../onnx/graph.js';
import type { Decoder } from './decoder.js';
import type { Weights } from './weights.js';

/** A parameter by the name that this package gives it (`DecoderNames`), and its shape. */
export interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** `matrix`: taken in the body's float type; `table`: an embedding or the head, of which rows are looked up. */
type Use = 'matrix' | 'table';

/** Calls `visit` for every use that the decoder's graph makes of a parameter, in order. */
export function visitParameters(decoder: Decoder, visit: (parameter: NamedShape, use: Use) => void): void {
  const g = new GraphBuilder('parameters');
  const visited =
    (use: Use) =>
    (name: string, shape: readonly number[]): string => {
      visit({ name, shape }, use);
      return name;
    };
  const [matrix, table] = [visited('matrix'), visited('table')];
  const weights: Weights = {
    tensor: matrix,
    head: table,
    optional: (wanted, name, shape) => (wanted ? matrix(name, shape) : null),
    embed: (name, shape, ids) => g.node('Gather', [table(name, shape), ids]),
  };
  const ids = g.input('ids', 'int32', [1, 2]);
  decoder.body(g, weights, { ids, positionIds: null, documentIds: null, attention: 'fused', length: 2 });
  decoder.head(weights);
}

/** The parameters of a decoder once each, in the order of their first use. */
export function decoderParameters(decoder: Decoder): NamedShape[] {
  const shapes = new Map<string, readonly number[]>();
  visitParameters(decoder, ({ name, shape }) => shapes.set(name, shape));
  return [...shapes].map(([name, shape]) => ({ name, shape }));
}
