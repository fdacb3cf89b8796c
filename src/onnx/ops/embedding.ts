/** Rows of a table, with the gradient of the table. */
import { type GraphBuilder, int, string, type Value } from '../graph.js';

/**
 * table [rows, width], ids of any shape → [...ids, width]. The table's gradient adds by ScatterElements:
 * ScatterND loses additions onto one row when it runs on several threads (ONNX Runtime 1.30).
 */
export function embedding(
  g: GraphBuilder,
  table: Value,
  ids: Value,
  [rows, width]: readonly [number, number],
): Value {
  const y = g.node('Gather', [table, ids]);
  g.record([table], [y], ([dy]) => {
    if (!dy) return [];
    const updates = g.node('Reshape', [dy, g.int64s([-1, width])]);
    const column = g.node('Reshape', [ids, g.int64s([-1, 1])]);
    const indices = g.node('Expand', [column, g.node('Shape', [updates])]);
    const zeros = g.node('ConstantOfShape', [g.int64s([rows, width])]);
    return [
      g.node('ScatterElements', [zeros, indices, updates], {
        attributes: { axis: int(0), reduction: string('add') },
      }),
    ];
  });
  return y;
}
