import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { evaluationSection } from '#tokensieve/report/evaluations.js';
import { loadSection } from '#tokensieve/report/load-section.js';
import { readArms } from '#tokensieve/report/read-runs.js';
import { sectionText } from '#tokensieve/report/section.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { openMetrics } from '#tokensieve/train/metrics.js';
import { METRICS_FILE } from '#tokensieve/train/run-files.js';
import { temporaryFolder } from '../support/quickstart.js';

const folder = temporaryFolder();
function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('a section of the user’s own', () => {
  it('is what its function gives, for the options of the pipeline', async () => {
    const module = file(
      'good.mjs',
      'export const section = ({ n }) => ({ title: "T", table: { columns: [{ title: "a" }], rows: [[String(n)]] } });',
    );
    const section = await loadSection(module, { n: 7 });
    expect(section).toMatchObject({ title: 'T', notes: [], table: { rows: [['7']] } });
    expect(sectionText(section)).toBe('T\n  a\n  7');
  });

  it.each<[string, string, RegExp]>([
    ['no function', 'export const part = 1;', /0\.mjs: exports no function called section/],
    ['an error', 'export const section = () => { throw new Error("no\\nway"); };', /1\.mjs: no$/],
    [
      'cells that are no text',
      'export const section = () => ({ title: "T", table: { columns: [], rows: [[1]] } });',
      /table\.rows\.0\.0/,
    ],
    ['nothing', 'export const section = () => undefined;', /3\.mjs: section\(\) gave something else/],
  ])('with %s is refused by its module’s name', async (name, code, message) => {
    const index = ['no function', 'an error', 'cells that are no text', 'nothing'].indexOf(name);
    await expect(loadSection(file(`${index}.mjs`, code), {})).rejects.toThrow(message);
  });
});

describe('evaluations side by side', () => {
  const set = { documents: 3, loss: 1.23456, loss_stderr: 0.01, bits_per_byte: 0.5 };

  it('have a row for each model and columns for each set, empty where it was not asked', async () => {
    const one = file('one.json', JSON.stringify({ model_name: 'one', held_out: { clean: set } }));
    const two = file(
      'two.json',
      JSON.stringify({ model_name: 'two', held_out: { web: { ...set, loss_stderr: 'N/A' } } }),
    );
    const { table } = await evaluationSection(localStorage(), [one, two]);
    expect(table?.rows).toEqual([
      ['one', '1.235 ± 0.010', '0.500', '', ''],
      ['two', '', '', '1.235 ± N/A', '0.500'],
    ]);
  });

  it.each([
    ['text', 'hello', /not JSON/],
    ['another JSON', '{"model_name": 3}', /field model_name/],
  ])('are refused when they are %s', async (name, text, message) => {
    const path = file(`${name}.json`, text);
    await expect(evaluationSection(localStorage(), [path])).rejects.toThrow(message);
  });
});

describe('the runs of a report', () => {
  const record = {
    ...{ loss: 2, loss_selected: 2, loss_unselected: null, eligible: 10, kept: 10, gradient_norm: 1 },
    ...{ learning_rate: 0.1, seconds: 1, tokens_per_second: 10 },
  };
  async function run(name: string, losses: readonly (Record<string, number> | undefined)[]): Promise<string> {
    const out = join(folder, name);
    mkdirSync(out);
    const metrics = await openMetrics(join(out, METRICS_FILE));
    for (const [i, held_out] of losses.entries()) {
      await metrics.append({ ...record, step: i + 1, tokens: 10 * (i + 1), ...(held_out && { held_out }) });
    }
    await metrics.close();
    return out;
  }

  it('give curves of the sets that all measured, from the start’s last losses on', async () => {
    const start = await run('start', [
      { a: 9, b: 9 },
      { a: 5, b: 6 },
    ]);
    const x = await run('x', [{ a: 4, b: 5 }, undefined, { a: 3, b: 4 }]);
    const y = await run('y', [{ a: 4.5 }]);
    const arms = await readArms({ arms: { X: [x], Y: [y] }, start });
    expect(arms.map(({ heldOut }) => [...heldOut])).toEqual([
      [
        [
          'a',
          [
            [
              { step: 0, tokens: 0, loss: 5 },
              { step: 1, tokens: 10, loss: 4 },
              { step: 3, tokens: 30, loss: 3 },
            ],
          ],
        ],
      ],
      [
        [
          'a',
          [
            [
              { step: 0, tokens: 0, loss: 5 },
              { step: 1, tokens: 10, loss: 4.5 },
            ],
          ],
        ],
      ],
    ]);
  });

  it('are refused without held-out losses, or none in common', async () => {
    const blind = await run('blind', [undefined]);
    const a = await run('a', [{ a: 1 }]);
    const b = await run('b', [{ b: 1 }]);
    await expect(readArms({ arms: { X: [blind] }, start: undefined })).rejects.toThrow(
      /blind.*no held-out losses/,
    );
    await expect(readArms({ arms: { X: [a], Y: [b] }, start: undefined })).rejects.toThrow(
      /no held-out set in common/,
    );
  });
});
