import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults } from '../../fixtures/quickstart/make.mjs';
import { chromiumPath } from '../support/chromium.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { expectGoodInAllSizes, launch, openPage } from './browser.js';
import { type Served, startService } from './served.js';

// The playground in a real browser, against the real service with the quickstart's two bigram models.

const TEXT = 'The sum of 2 and 3 is 5.\n\tTwo  spaces, naïve café, 🧮 and <b>no markup</b>. \n';

/** Lessons that neither model has counted. */
const [shard] = shards.filter(({ path }) => path.startsWith('held-out/lessons'));
const LESSONS = rowsOf({ ...shard!, rows: 3 }, defaults.seed).map(({ text }) => text);

describe.skipIf(chromiumPath === null)('the playground', () => {
  const root = temporaryFolder();
  let service: Served;
  let browser: Browser;
  beforeAll(async () => {
    await quickstartInputs(root);
    const swapped = `swapped=${join(root, 'models/current')},${join(root, 'models/reference')}`;
    [service, browser] = await Promise.all([startService(root, { args: ['--models', swapped] }), launch()]);
  });
  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });
  const open = () => openPage(browser, `${service.url}/#/playground`);
  const countOf = (text: string | null): number => Number((text ?? '').replaceAll(',', ''));

  it('shows what would be kept, and follows the slider without asking again', async () => {
    const { page, problems, requests } = await open();
    await page.getByLabel('Text', { exact: true }).fill(TEXT);
    await page.getByRole('button', { name: 'Score', exact: true }).click();
    const text = page.getByRole('group', { name: 'Tokens of the text' });
    await text.waitFor();
    // As it was, white space and markup included.
    expect(await text.textContent()).toBe(TEXT);

    requests.length = 0;
    const kept = page.locator('#kept-count');
    const slider = page.getByRole('slider', { name: 'Keep' });
    for (const percent of [60, 100, 30, 1]) {
      await slider.fill(String(percent));
      const answer = await fetch(`${service.url}/v1/score`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ texts: [TEXT], select: { method: 'slm', keep: percent / 100 } }),
      });
      const { results } = (await answer.json()) as {
        results: { tokens: { weight: number[] }; eligible: number }[];
      };
      const weights = results[0]!.tokens.weight;
      expect(countOf(await kept.textContent()), `${percent}%`).toBe(
        weights.filter((weight) => weight > 0).length,
      );
      // Characters that several tokens share have one mark: at most as many as there are tokens.
      const marked = await text.locator('[data-state=kept], [data-state=part]').count();
      expect(marked).toBeGreaterThan(0);
      expect(marked).toBeLessThanOrEqual(countOf(await kept.textContent()));
    }
    expect(requests).toEqual([]);
    // A share that is no whole percent, typed.
    await page.getByLabel('Keep, in percent').fill('12.5');
    expect(countOf(await kept.textContent())).toBe(
      Math.floor(
        0.125 * Number(/of (\d+) eligible/.exec((await page.locator('.counts').textContent()) ?? '')![1]),
      ),
    );
    expect(requests).toEqual([]);
    expect(problems).toEqual([]);
  });

  it('says both losses of a token under the pointer and under the keys', async () => {
    const { page, problems } = await open();
    await page.getByRole('button', { name: 'A lesson' }).click();
    await page.getByRole('button', { name: 'Score', exact: true }).click();
    const text = page.getByRole('group', { name: 'Tokens of the text' });
    const detail = page.locator('.detail');
    await text.locator('[data-state=kept]').nth(3).hover();
    await expect.poll(() => detail.textContent()).toContain('Verdictkept');
    const losses = /Reference(−?[\d.]+)Current(−?[\d.]+)Excess(−?[\d.]+)/.exec(
      (await detail.textContent()) ?? '',
    )!;
    const number = (words: string | undefined): number => Number((words ?? '').replace('−', '-'));
    expect(number(losses[2]) - number(losses[1])).toBeCloseTo(number(losses[3]), 2);

    await text.focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('d');
    expect(await detail.textContent()).toContain('dropped');
    const first = await text.locator('.at').textContent();
    for (const key of ['ArrowDown', 'ArrowUp', 'ArrowRight', 'ArrowLeft', 'k', 'Home', 'd'])
      await page.keyboard.press(key);
    expect(await text.locator('.at').textContent()).toBe(first);
    expect(problems).toEqual([]);
  });

  it('can be used by keys alone', async () => {
    const { page } = await open();
    const focused = () =>
      page.evaluate('document.activeElement?.textContent?.trim() || document.activeElement?.id');
    await page.getByRole('button', { name: 'Score', exact: true }).isEnabled();
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to content');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('A web page with clutter');
    // Past the samples to the text.
    for (let i = 0; i < 4; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('One plus one is two.');
    // The pair of models, then the button.
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Score');
    await page.keyboard.press('Enter');
    await page.locator('#kept-count').waitFor();
    const before = countOf(await page.locator('#kept-count').textContent());
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.id')).toBe('keep');
    for (let i = 0; i < 30; i++) await page.keyboard.press('ArrowLeft');
    expect(countOf(await page.locator('#kept-count').textContent())).toBeLessThan(before);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => page.locator('.detail').textContent()).toContain('Reference');
    const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle');
    expect(outline).toBe('solid');
  });

  it('warns of two models the wrong way round, as far as the text and the method bear it', async () => {
    const { page, problems } = await open();
    const status = page.locator('.findings');
    const words = page.locator('.spread');
    const text = page.getByLabel('Text', { exact: true });
    const score = async (): Promise<void> => {
      await page.getByRole('button', { name: 'Score', exact: true }).click();
      await page.getByRole('button', { name: 'Score', exact: true }).isEnabled();
    };
    const lessons = LESSONS.join('\n\n');
    await text.fill(lessons);
    await score();
    await page.locator('#kept-count').waitFor();
    expect(await status.textContent()).toBe('');
    expect(await words.textContent()).toContain('has not learnt yet');

    await page.getByLabel('Models').selectOption('swapped');
    await score();
    await status.getByText('either the two models are swapped').waitFor();
    expect(await status.getByText('of what is kept has a negative excess').count()).toBe(1);
    expect(await words.textContent()).not.toContain('has not learnt');
    await expectGoodInAllSizes(page);
    // What is kept follows the slider, and another score is not scolded.
    await page.getByRole('slider', { name: 'Keep' }).fill('5');
    await expect.poll(() => status.getByText('negative excess').count()).toBe(0);
    await page.getByLabel('Method').selectOption('reference-loss');
    await expect.poll(() => status.textContent()).toBe('');

    await page.getByLabel('Method').selectOption('slm');
    await text.fill('One and two are three.');
    await score();
    await words.getByText('too few to say').waitFor();
    expect(await status.textContent()).toBe('');
    expect(problems).toEqual([]);
  });

  it('is readable at both widths, in light and dark', async () => {
    const { page, problems } = await open();
    await page.getByRole('button', { name: 'Many scripts' }).click();
    await page.getByRole('button', { name: 'Score', exact: true }).click();
    await page.locator('#kept-count').waitFor();
    await page.getByRole('group', { name: 'Tokens of the text' }).focus();
    await expectGoodInAllSizes(page);
    expect(problems).toEqual([]);
  });

  it('says what is wrong while it is offline, and goes on afterwards', async () => {
    const { page, context } = await open();
    await page.getByRole('button', { name: 'Score', exact: true }).isEnabled();
    await context.setOffline(true);
    await page.getByRole('button', { name: 'Score', exact: true }).click();
    await page.getByRole('alert').getByText('The service does not answer').waitFor();
    await context.setOffline(false);
    await page.getByRole('button', { name: 'Score', exact: true }).click();
    await page.locator('#kept-count').waitFor();
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  it('refuses a text that is longer than what can be scored', async () => {
    const { page } = await open();
    await page.getByLabel('Text', { exact: true }).fill('é'.repeat(33_000));
    await page.getByText('more than the 64.0 KiB').waitFor();
    expect(await page.getByRole('button', { name: 'Score', exact: true }).isDisabled()).toBe(true);
  });
});
