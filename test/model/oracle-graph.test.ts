import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { prepareModel } from '#tokensieve/model/prepare.js';
import { readCheckpoint } from '../support/oracle/checkpoint.js';
import { type Golden, goldenNames, readGolden, writeGoldenCheckpoint } from '../support/oracle/golden.js';
import { lossesAcross, lossesWithin, type TokenLosses } from '../support/oracle/oracle.js';
import { type RunLosses, runPrepared } from '../support/oracle-run.js';
import { parityTable } from '../support/oracle-table.js';

// The product's graphs against the fp64 oracle and against transformers in fp32. Sizes are odd, rows are of
// unequal length, and llama-large-vocabulary takes several chunks of the loss head.
const scratch = mkdtempSync(join(tmpdir(), 'oracle-graph-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const report = parityTable();

describe.each(goldenNames())('the graph of %s', (name) => {
  const golden = readGolden(name);
  const folder = join(scratch, name);
  writeGoldenCheckpoint(golden, folder);

  it.each(['across', 'within'] as const)('agrees with the fp64 oracle, attention %s', async (attention) => {
    const checkpoint = readCheckpoint(folder);
    const oracle = golden.rows.map((ids, r) =>
      attention === 'across'
        ? lossesAcross(checkpoint, ids)
        : lossesWithin(checkpoint, ids, golden.documents[r]!),
    );
    const product = await score(golden, folder, attention);
    const gaps = [farthest(product, oracle, 'loss'), farthest(product, oracle, 'entropy')];
    report([name, attention], gaps);
    expect(Math.max(...gaps)).toBeLessThan(2e-5);
    expect(farthest(product, golden.float32[attention].map(asLoss), 'loss')).toBeLessThan(1e-4);
  });
});

function score(golden: Golden, folder: string, attention: 'across' | 'within'): Promise<RunLosses> {
  const settings = { device: 'cpu', attention, entropy: true, cacheFolder: join(scratch, 'cache') } as const;
  const rows = golden.rows.map((ids, r) => ({ ids, documents: golden.documents[r]! }));
  return prepareModel(folder, settings).then((prepared) => runPrepared(prepared, rows));
}

const asLoss = (row: readonly (number | null)[]): Pick<TokenLosses, 'loss'> => ({
  loss: Float64Array.from(row, (value) => value ?? Number.NaN),
});

/** Largest difference in nats over the tokens that have context. NaN in the product is never close. */
function farthest<K extends 'loss' | 'entropy'>(
  product: RunLosses,
  wanted: readonly Pick<TokenLosses, K>[],
  key: K,
): number {
  let most = 0;
  let compared = 0;
  wanted.forEach((row, r) => {
    row[key].forEach((value, t) => {
      if (Number.isNaN(value)) return;
      const gap = Math.abs(product[key][r]![t]! - value);
      most = gap <= most ? most : Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
      compared++;
    });
  });
  expect(compared).toBeGreaterThan(90);
  return most;
}
