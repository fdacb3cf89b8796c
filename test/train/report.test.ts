import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openMetrics } from '#tokensieve/train/metrics.js';
import { writeTrainingReport } from '#tokensieve/train/report/training-report.js';
import { trainSchema } from '#tokensieve/train/settings.js';
import { metricsAt } from '../../fixtures/trainer/write.mjs';
import { temporaryFolder } from '../support/quickstart.js';

const out = temporaryFolder();

describe('the report of a run', () => {
  it('shows curves, last figures and settings on a page that needs nothing else', async () => {
    const metrics = await openMetrics(join(out, 'metrics.jsonl'));
    for (let step = 1; step <= 8; step++) await metrics.append(metricsAt(step));
    await metrics.close();
    const settings = trainSchema.parse({
      out: '</td><script>alert(1)</script>',
      model: { start: 'base' },
      data: { sources: ['a=2'] },
      batch: { steps: 8 },
    });
    const page = readFileSync(await writeTrainingReport(out, settings), 'utf8');
    const titles = ['Training loss', 'Held-out loss', 'Kept share', 'Gradient norm', 'Learning rate'];
    for (const title of titles) expect(page).toContain(`aria-label="${title}"`);
    for (const name of ['all', 'selected', 'unselected', 'clean', 'noisy.web']) {
      expect(page).toMatch(new RegExp(`<text[^>]*>${name}</text>`));
    }
    const row = (name: string, value: string): string => `<td>${name}</td><td class="number">${value}</td>`;
    expect(page).toContain(row('Tokens seen', '8\u202f192'));
    expect(page).toContain(row('Last step’s loss, selected tokens (nats)', '3.5'));
    expect(page).toContain(row('Held-out loss, clean, last measured (nats)', '2.5'));
    // 8 192 tokens in 8 × 0.25 s.
    expect(page).toContain(row('Tokens a second', '4\u202f096'));
    expect(page).toContain('<td>optimizer.beta2</td><td>0.95</td>');
    expect(page).toContain('<td>out</td><td>&#60;/td&#62;&#60;script&#62;');
    expect(page).not.toContain('<script');
    expect(page).not.toMatch(/(src|href)=/);
    expect(
      page
        .match(/http[^"' )]*/g)
        ?.every((url) => url === 'http://www.w3.org/2000/svg' || url === 'http-equiv='),
    ).toBe(true);
  });

  it('is written for a run without a step too', async () => {
    writeFileSync(join(out, 'metrics.jsonl'), '');
    const page = readFileSync(await writeTrainingReport(out, {}), 'utf8');
    expect(page).toContain('no data');
    expect(page).not.toContain('Held-out loss');
  });

  it('is not begun over metrics that are damaged', async () => {
    const before = readFileSync(join(out, 'report.html'), 'utf8');
    writeFileSync(join(out, 'metrics.jsonl'), '{}\n');
    await expect(writeTrainingReport(out, {})).rejects.toMatchObject({ code: 'bad-metrics' });
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toBe(before);
  });
});
