import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readCheckpoint } from '../support/oracle/checkpoint.js';
import { goldenNames, type Losses, readGolden, writeGoldenCheckpoint } from '../support/oracle/golden.js';
import { lossesAcross, lossesWithin } from '../support/oracle/oracle.js';

// Before the oracle judges the product it is judged itself: by transformers in float64.
const scratch = mkdtempSync(join(tmpdir(), 'oracle-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe.each(goldenNames())('the oracle of %s', (name) => {
  const golden = readGolden(name);
  const folder = join(scratch, name);
  writeGoldenCheckpoint(golden, folder);
  const checkpoint = readCheckpoint(folder);

  it('agrees with transformers in float64, documents seeing each other', () => {
    const rows = golden.rows.map((ids) => lossesAcross(checkpoint, ids));
    expectClose(
      rows.map((row) => row.loss),
      golden.float64.across.loss,
    );
    expectClose(
      rows.map((row) => row.entropy),
      golden.float64.across.entropy,
    );
  });

  it('agrees with transformers in float64, each document alone', () => {
    const rows = golden.rows.map((ids, r) => lossesWithin(checkpoint, ids, golden.documents[r]!));
    expectClose(
      rows.map((row) => row.loss),
      golden.float64.within.loss,
    );
    expectClose(
      rows.map((row) => row.entropy),
      golden.float64.within.entropy,
    );
  });
});

function expectClose(rows: readonly Float64Array[], expected: Losses): void {
  expect(rows.map((row) => row.length)).toEqual(expected.map((row) => row.length));
  rows.forEach((row, r) => {
    row.forEach((value, t) => {
      const wanted = expected[r]![t]!;
      if (wanted === null) expect(value).toBeNaN();
      else expect(Math.abs(value - wanted), `row ${r}, token ${t + 1}`).toBeLessThan(1e-9);
    });
  });
}
