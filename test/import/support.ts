import { join } from 'node:path';
import { type ImportReport, importScores } from '#tokensieve/import/import-run.js';
import { type ImportInput, parseImport } from '#tokensieve/import/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { type Row, readRows } from '../dataset/batches.js';
import { BOS, EOS, lossOf, writeCorpus } from '../export/support.js';
import { filesBelow } from '../support/cli.js';

export const storage = localStorage();

/** Documents of the run that fixtures/import/make.py has losses of: a list a part. */
export const PARTS = [
  [5, 40, 0, 13],
  [14, 3, 29],
] as const;

/** Writes that run, packed. */
export const writeRun = (folder: string, packing: 'packed' | 'document' = 'packed') =>
  writeCorpus(folder, {
    parts: PARTS,
    kind: 'packed',
    weight: () => 1,
    rules: {
      length: 16,
      packing,
      attention: 'across',
      overlap: packing === 'packed' ? 1 : 4,
      bosId: BOS,
      eosId: EOS,
    },
  });

export const importFrom = (
  run: string,
  losses: string,
  out: string,
  more: Partial<ImportInput> = {},
  replace = false,
): Promise<ImportReport> =>
  importScores(parseImport({ run, losses: [losses], out, model_name: 'elsewhere', ...more }, 'test'), {
    storage,
    sink: () => undefined,
    signal: new AbortController().signal,
    replace,
  });

/** The rows of every part, in order. */
export async function rowsOf(out: string, folder = 'scored'): Promise<Row[]> {
  const files = filesBelow(join(out, folder)).filter((path) => /\/\d{5}\.arrow$/.test(path));
  const rows: Row[] = [];
  for (const file of files) rows.push(...(await readRows(storage, file)));
  return rows;
}

/** The losses that a run of rows must have, told by its packed rows and the formula alone. */
export function expectedLosses(packed: readonly Row[]): number[][] {
  const counted = new Map<bigint, number>();
  return packed.map((row) => {
    const losses: number[] = [];
    for (const [s, [document, , count]] of row.segments.entries()) {
      const before = counted.get(document) ?? 0;
      // A row that goes on with a document repeats its last id.
      const start = s === 0 && before > 0 ? before - 1 : before;
      counted.set(document, start + count);
      for (let i = 0; i < count; i++) losses.push(lossOf(Number(document), start + i));
    }
    return losses.map((loss, i) => (row.columns['weight']?.[i] === 0 ? Number.NaN : loss));
  });
}

/** The error's code and message; fails where there is none. */
export async function refusal(
  action: Promise<unknown>,
): Promise<{ readonly code: string; readonly message: string }> {
  try {
    await action;
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('it was taken');
}
