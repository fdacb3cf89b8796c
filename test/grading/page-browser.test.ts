/// <reference lib="dom" />
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GradedItem } from '#tokensieve/evaluate/grading/grade-file.js';
import { gradingPage } from '#tokensieve/evaluate/grading/page/render.js';
import { compared, pairsOf } from '#tokensieve/evaluate/grading/paired.js';
import { chromiumPath } from '../support/chromium.js';
import { temporaryFolder } from '../support/quickstart.js';

if (chromiumPath === null)
  console.warn('skipped: no Chromium (the page of grades is not tested in a browser); set CHROMIUM');

describe.skipIf(chromiumPath === null)('the page of grades in a browser', () => {
  const folder = temporaryFolder();
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: chromiumPath ?? '', args: ['--no-sandbox'] });
  });
  afterAll(() => browser?.close());

  const item = (line: number, score: boolean, extracted: string): GradedItem => ({
    ...{ line, score, extracted, cut: null, answer: '1' },
    question: `Question ${line} of <img src=x onerror=alert(1)> pears`,
    output: `</script><script>alert(1)</script> ${line}`,
  });
  const grades = (items: readonly GradedItem[]) => ({
    ...{ path: 'a.jsonl', task: 'math' as const, items: items.length, right: 1, withoutAnswer: 0, cut: 0 },
    accuracy: { value: 0.5, stderr: 0.1 },
    quarantined: {},
  });

  it('shows the items of a kind and with some words, asks for nothing and runs nothing of the texts', async () => {
    const own = [item(0, true, '1'), item(1, true, '1'), item(2, false, '')];
    const other = [item(0, true, '1'), item(1, false, '2'), item(2, false, '3')];
    const report = {
      grades: grades(own),
      against: { grades: grades(other), comparison: compared(own, other) },
    };
    const file = join(folder, 'grades.html');
    writeFileSync(file, gradingPage(report, pairsOf(own, other)));
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('dialog', (dialog) => complaints.push(dialog.message()));
    await page.goto(pathToFileURL(file).href);
    const shown = async () => [
      await page.locator('#items > li:visible').count(),
      await page.textContent('#shown'),
    ];
    expect(await shown()).toEqual([3, '3 of 3 items']);
    await page.selectOption('#kind', 'first');
    expect(await shown()).toEqual([1, '1 of 3 items']);
    await page.selectOption('#kind', 'other');
    expect(await shown()).toEqual([2, '2 of 3 items']);
    await page.fill('#search', 'question 2');
    expect(await shown()).toEqual([1, '1 of 3 items']);
    await page.fill('#search', 'apples');
    expect(await shown()).toEqual([0, '0 of 3 items']);
    expect(complaints).toEqual([]);
    await page.close();
  });
});
