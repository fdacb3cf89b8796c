import type { Engine } from '../engine/open-engine.js';
import type { EngineRows } from '../engine/streams.js';
import type { Batch } from './batches.js';
import type { EngineUse } from './engine-models.js';
import type { ModelRole, RoleSession } from './role.js';
import type { BatchLosses } from './session.js';

/** An engine as a session of all its models. Rows go without their padding, which is the engine's own affair. */
export async function openEngineSession(
  use: EngineUse,
  place: { readonly threads: number; readonly card: number },
): Promise<RoleSession> {
  const engine: Engine = await use.open(place);
  return {
    async score(batch) {
      const answers = await engine.score(rowsOf(batch));
      const found: Partial<Record<ModelRole, BatchLosses>> = {};
      for (const role of use.roles) {
        const { loss, entropy, greedy } = answers.get(role) ?? {};
        if (loss === undefined) throw new Error(`an engine gave no losses of the ${role} model`);
        found[role] = {
          loss: padded(batch, loss),
          ...(entropy && { entropy: padded(batch, entropy) }),
          ...(greedy && { greedy: padded(batch, greedy) }),
        };
      }
      return found;
    },
    close: () => engine.close(),
  };
}

/** The batch's sequences, one after another. */
function rowsOf({ sequences, length, ids, positions, documents }: Batch): EngineRows {
  const offsets = new Int32Array(sequences.length + 1);
  for (const [row, sequence] of sequences.entries()) {
    offsets[row + 1] = (offsets[row] ?? 0) + sequence.ids.length;
  }
  const joined = (padded: Int32Array): Int32Array => {
    const values = new Int32Array(offsets[sequences.length] ?? 0);
    for (const [row, sequence] of sequences.entries()) {
      values.set(padded.subarray(row * length, row * length + sequence.ids.length), offsets[row]);
    }
    return values;
  };
  return {
    offsets,
    ids: joined(ids),
    ...(positions && { positions: joined(positions) }),
    ...(documents && { documents: joined(documents) }),
  };
}

/** [rows · (length − 1)] of values that lie one row after another, each one shorter than its ids. */
function padded({ sequences, rows, length }: Batch, values: Float32Array): Float32Array {
  const table = new Float32Array(rows * (length - 1));
  let at = 0;
  for (const [row, { ids }] of sequences.entries()) {
    const count = Math.max(0, ids.length - 1);
    table.set(values.subarray(at, at + count), row * (length - 1));
    at += count;
  }
  return table;
}
