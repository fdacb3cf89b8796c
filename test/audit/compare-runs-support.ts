import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import type { Row } from '../dataset/batches.js';
import { type PartOptions, writePart } from '../dataset/runs.js';

/** Writes a run's parts with the given rows. */
export async function writeRun(
  folder: string,
  columns: readonly TokenColumn[],
  parts: readonly (readonly Row[])[],
  more: Omit<PartOptions, 'columns' | 'rows'> = {},
): Promise<void> {
  for (const [part, rows] of parts.entries()) {
    await writePart(folder, { part, ...more, columns, rows: () => [...rows] });
  }
}

/** The same rows with each column taken from another: { current_loss: 'c1' }. */
export const renamed = (rows: readonly Row[], names: Readonly<Record<string, string>>): Row[] =>
  rows.map((row) => ({
    ...row,
    columns: Object.fromEntries(Object.entries(names).map(([to, from]) => [to, row.columns[from]!])),
  }));

/** Changes one column's values. */
export const changed = (
  rows: readonly Row[],
  column: string,
  change: (value: number, position: number, row: number) => number,
): Row[] =>
  rows.map((row, r) => ({
    ...row,
    columns: { ...row.columns, [column]: row.columns[column]!.map((value, i) => change(value, i, r)) },
  }));

/** One row of `losses.length` tokens of one document. */
export const rowOf = (
  id: number,
  columns: Readonly<Record<string, readonly number[]>>,
  ids?: readonly number[],
): Row => {
  const { length } = Object.values(columns)[0]!;
  return {
    id: BigInt(id),
    ids: ids ?? Array.from({ length }, (_, i) => 100 * id + i),
    columns,
    segments: [[BigInt(id), 0, length, 0n, BigInt(length)]],
  };
};

/** Replaces the one place of a file that holds `value` as fp32: what no writer of ours would write. */
export async function overwriteFloat(path: string, value: number, other: number): Promise<void> {
  const bytes = await readFile(path);
  const at = bytes.indexOf(Buffer.from(Float32Array.of(value).buffer));
  if (at < 0) throw new Error(`${path}: does not hold ${value}`);
  bytes.writeFloatLE(other, at);
  await writeFile(path, bytes);
  // A manifest that vouches for it: this is no damage, but what its writer wrote.
  const manifestPath = path.replace(/\.arrow$/, '.manifest.json');
  const { digest: _, ...manifest } = JSON.parse(await readFile(manifestPath, 'utf8')) as {
    digest?: string;
    outputs: { kind: string; sha256: string }[];
  };
  for (const output of manifest.outputs)
    if (output.kind === 'sequences') output.sha256 = createHash('sha256').update(bytes).digest('hex');
  await writeFile(manifestPath, JSON.stringify(manifest));
}
