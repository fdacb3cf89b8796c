import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { agreementOf } from '../../bench/grading/agreement.mjs';
import { sharedData } from '../support/report-skips.js';

// The authors' own outputs: their verdicts are the measure, item by item, each file by itself.
const folder = join(sharedData, 'eval/rho-1-outputs');
const hasOutputs = existsSync(folder);
if (!hasOutputs) console.warn(`skipped: no ${folder} (the authors' outputs are not graded)`);

describe.skipIf(!hasOutputs)('the grader on the authors’ outputs', () => {
  it.each([
    ['rho-math-1b-v0.1.gsm8k', 0.995, 36.2],
    ['rho-math-1b-v0.1.minerva_math', 0.99, 15.8],
    ['rho-math-1b-interpreter-v0.1.gsm8k', 0.995, 58.4],
    ['rho-math-1b-interpreter-v0.1.minerva_math', 0.99, 40.2],
  ])('%s: as the authors in %d of the items, accuracy %d', (name, share, accuracy) => {
    const found = agreementOf(join(folder, `${name}.jsonl.gz`));
    expect(found.agreement.authors).toBeGreaterThanOrEqual(share);
    expect(Math.abs(100 * found.accuracy.ours - accuracy)).toBeLessThan(0.2);
    // math-verify finds answers its own way, in a frame's rest too; equality is what it is asked about.
    expect(found.agreement.mathVerify).toBeGreaterThan(0.96);
    // Where both others are of one mind against it, the grader would have to be looked at.
    const alone = found.differing.filter(
      ({ ours, authors, mathVerify }) => ours !== authors && ours !== mathVerify,
    );
    expect(alone).toEqual([]);
  });
});
