/** The rows of the probe, and how far their losses lie from each other. */
import { philox4x32, philoxKey } from '../numbers/philox.js';
import { rawLogits } from './onnx-export-build.js';
import type { GraphRunner } from './onnx-export-runner.js';
import type { ExportVerdict } from './onnx-export-verdict.js';

/** Lengths of the three rows, and how many tokens of the longest stay before another end. */
export const lengths = { short: 5, middle: 11, long: 19 } as const;
const kept = 11;

export type Row = (length: number, stream: number) => number[];

/** Rows of ids that are the same on every machine; another for each `stream`. */
export function randomRow(vocabularySize: number): Row {
  const key = philoxKey(0, 'export probe');
  return (length, stream) => {
    const words = new Uint32Array(4);
    return Array.from({ length }, (_, t) => {
      philox4x32(t, stream, 0, 0, key, words, 0);
      return (words[0] ?? 0) % vocabularySize;
    });
  };
}

export async function rowGaps(
  runner: GraphRunner,
  row: Row,
  vocabularySize: number,
): Promise<Pick<ExportVerdict, 'batchGap' | 'endGap' | 'headGap' | 'probabilities'>> {
  const rows = [row(lengths.short, 0), row(lengths.long, 1), row(lengths.middle, 2)];
  const [short = [], long = []] = rows;
  const [first, logits] = await runner.run([short], ['loss', rawLogits]);
  const own = logitLosses(logits?.data ?? [], short, vocabularySize);
  const alone = [
    first?.data ?? [],
    await lossesAlone(runner, long),
    await lossesAlone(runner, rows[2] ?? []),
  ];
  const beside = await lossesBeside(runner, rows);
  const otherEnd = await lossesAlone(runner, [...long.slice(0, kept), ...row(lengths.long - kept, 3)]);
  return {
    batchGap: farthest(alone, beside),
    endGap: farthest([(alone[1] ?? []).slice(0, kept - 1)], [otherEnd.slice(0, kept - 1)]),
    headGap: farthest([first?.data ?? []], [own.losses]),
    probabilities: own.probabilities,
  };
}

type Losses = ArrayLike<number> & { slice(start: number, end: number): Losses };

export async function lossesAlone(runner: GraphRunner, ids: readonly number[]): Promise<Losses> {
  const [loss] = await runner.run([ids], ['loss']);
  return loss?.data ?? [];
}

/** All rows in one batch, padded on the right as batches are. */
export async function lossesBeside(
  runner: GraphRunner,
  rows: readonly (readonly number[])[],
): Promise<Losses[]> {
  const longest = Math.max(...rows.map((ids) => ids.length));
  const padded = rows.map((ids) => [...ids, ...Array<number>(longest - ids.length).fill(0)]);
  const [loss] = await runner.run(padded, ['loss']);
  const data = loss?.data ?? new Float32Array();
  return rows.map((ids, r) => data.slice(r * (longest - 1), r * (longest - 1) + ids.length - 1));
}

/** null where a number is missing or none. */
export function farthest(some: readonly Losses[], others: readonly Losses[]): number | null {
  let gap = 0;
  for (const [r, losses] of some.entries()) {
    for (let t = 0; t < losses.length; t++) {
      const difference = Math.abs((losses[t] ?? Number.NaN) - (others[r]?.[t] ?? Number.NaN));
      if (!Number.isFinite(difference)) return null;
      gap = Math.max(gap, difference);
    }
  }
  return gap;
}

/** Losses of a row by its logits, in fp64; and whether the logits are probabilities. */
function logitLosses(
  logits: ArrayLike<number>,
  ids: readonly number[],
  vocabularySize: number,
): { losses: number[]; probabilities: boolean } {
  let probabilities = true;
  const losses = ids.slice(1).map((id, t) => {
    const at = (i: number): number => logits[t * vocabularySize + i] ?? Number.NaN;
    let [largest, smallest, sum] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 0];
    for (let i = 0; i < vocabularySize; i++) {
      largest = Math.max(largest, at(i));
      smallest = Math.min(smallest, at(i));
      sum += at(i);
    }
    if (!(smallest >= 0 && largest <= 1 && Math.abs(sum - 1) < 1e-2)) probabilities = false;
    let exponentials = 0;
    for (let i = 0; i < vocabularySize; i++) exponentials += Math.exp(at(i) - largest);
    return largest + Math.log(exponentials) - at(id);
  });
  return { losses, probabilities };
}
