import { describe, expect, it } from 'vitest';
import { decodeModel } from '#tokensieve/onnx/decode.js';
import { GraphBuilder, given, type Value } from '#tokensieve/onnx/graph.js';
import { encodeModel, toModelProto } from '#tokensieve/onnx/proto.js';

describe('an optional input or output of a node', () => {
  it('is left out where it is null, which protobuf writes as the empty name', () => {
    const g = new GraphBuilder('optional');
    const x = g.input('x', 'float32', [2]);
    const [y, , last] = g.nodes('Made', [x, null, x], [true, false, true]);
    g.output(g.node('Add', [y, last]), 'y', 'float32', [2]);
    const node = decodeModel(encodeModel(toModelProto(g.build()))).graph?.node[0];
    expect(node?.input).toEqual(['x', '', 'x']);
    expect(node?.output).toEqual([y, '', last]);
  });

  it('that was lost on the way is no input left out: the graph is refused', () => {
    const g = new GraphBuilder('lost');
    const lost = new Map<string, Value>().get('weight');
    for (const input of ['', lost as unknown as Value]) {
      expect(() => g.node('Sub', [input, null])).toThrow(/a graph was built without its input of Sub/);
    }
    expect(() => given(lost, 'input weight')).toThrow(/without its input weight; report this/);
    expect(g.build().nodes).toEqual([]);
  });
});
