import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumPath } from '../support/chromium.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { expectGoodInAllSizes, launch, openPage } from './browser.js';
import { type Served, startService } from './served.js';

// The page in a real browser, with real jobs of the real service.

/** `rows` of each of three shards, in parts of about 64 KiB of text. */
const pipelineOf = (rows: number, shards = 'corpus/noisy/*.parquet'): string => `
version: 1
shards: [${shards}]
reference: models/reference
current: models/current
corpus: { limit: ${rows}, part_bytes: 65536 }
sequence: { length: 256 }
score: { device: cpu, batch_tokens: 2048 }
run: { threads: 1 }
select: { method: slm, keep: 0.6 }
`;

async function submit(page: Page, name: string, rows: number, shards?: string): Promise<void> {
  const opener = page.getByRole('button', { name: 'New job' });
  await page
    .getByRole('heading', { name: /New job|Newest first/ })
    .first()
    .waitFor();
  if (await opener.isVisible()) await opener.click();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Pipeline').fill(pipelineOf(rows, shards));
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByRole('heading', { name, level: 1 }).waitFor();
}

const badge = (page: Page, word: string) => page.locator('.badge').getByText(word, { exact: true });
const finished = (page: Page): Promise<void> => badge(page, 'Done').waitFor({ timeout: 200_000 });

const total = (page: Page, name: string): Promise<string | null> =>
  page
    .getByRole('region', { name: 'Totals' })
    .locator('div')
    .filter({ has: page.getByText(name, { exact: true }) })
    .locator('dd')
    .textContent();

/** Opens the report in a tab and finds a dropped token in its reading view; then shows the report in the page too. */
async function findDropped(page: Page): Promise<void> {
  const opened = page.waitForEvent('popup');
  await page.getByRole('button', { name: /^Open the report/ }).click();
  const report = await opened;
  const text = report.getByRole('group', { name: /text/ });
  await text.locator('.dropped').first().waitFor();
  await report.getByRole('button', { name: 'Next dropped' }).click();
  const card = report.getByRole('status').filter({ hasText: /dropped/i });
  await card.waitFor();
  expect(await card.textContent()).toMatch(/reference/i);
  await report.close();

  await page.getByRole('button', { name: 'Show it here' }).click();
  const frame = page.frameLocator('iframe.report');
  await frame.getByRole('heading', { name: /Audit/ }).waitFor();
  // In a sandbox: its scripts run, without this page's rights.
  expect(await page.locator('iframe.report').getAttribute('sandbox')).toBe('allow-scripts');
  await page.getByRole('button', { name: 'Hide it' }).click();
}

let browser: Browser;
beforeAll(async () => {
  if (chromiumPath !== null) browser = await launch();
});
afterAll(() => browser?.close());

describe.skipIf(chromiumPath === null)('jobs in a browser', () => {
  const root = temporaryFolder();
  let service: Served;
  beforeAll(async () => {
    await quickstartInputs(root);
    service = await startService(root);
  });
  afterAll(() => service?.stop());

  it('tells a newcomer what to do, plans, and shows what is wrong at the field', async () => {
    const { page, problems } = await openPage(browser, service.url);
    await page.getByRole('heading', { name: 'No jobs yet' }).waitFor();
    await expectGoodInAllSizes(page);
    await page.getByRole('button', { name: 'Plan' }).click();
    await page.getByLabel('The plan').getByText('tokens').first().waitFor();
    expect(problems).toEqual([]);

    const field = page.getByLabel('Pipeline');
    await field.fill('version: 1\nshards: [corpus/noisy/*.parquet]\nreference: /etc\n');
    await page.getByRole('button', { name: 'Start' }).click();
    const problem = page.locator('#job-pipeline-problem').getByRole('alert');
    await problem.waitFor();
    expect(await problem.textContent()).toContain('/etc');
    expect(await field.getAttribute('aria-invalid')).toBe('true');
    expect(await page.evaluate('document.activeElement.id')).toBe('job-pipeline');
    // What was written outlives a reload.
    await page.reload();
    await expect.poll(() => field.inputValue()).toContain('/etc');
    await page.getByRole('button', { name: 'Put the example back' }).click();
    expect(await field.inputValue()).toContain('corpus/noisy');
  });

  it('submits a job, shows it in work through a refresh, and its outcome', async () => {
    const { page, problems } = await openPage(browser, service.url);
    await submit(page, 'a small one', 60);
    await badge(page, 'Running').waitFor();
    await page.getByText(/^Updates: live/).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'a small one', level: 1 }).waitFor();
    await finished(page);

    await page.getByRole('heading', { name: 'Totals' }).waitFor();
    expect(await total(page, 'Documents')).toBe('180');
    await expect.poll(() => page.locator('td.part-done').count()).toBeGreaterThanOrEqual(6);
    expect(await page.getByLabel('Lines of the log').textContent()).toMatch(
      /done web-00000-of-00003\.parquet part 0/,
    );
    await findDropped(page);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'pipeline.yaml' }).click();
    expect((await download).suggestedFilename()).toBe('pipeline.yaml');
    await expectGoodInAllSizes(page);
    expect(problems).toEqual([]);
  });

  it('shows rows that were set aside, with the reason', async () => {
    const rows = [{ text: 'One and one is two.' }, { text: null }, { text: 'Two and two is four.' }];
    writeFileSync(join(root, 'corpus/odd.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { page, problems } = await openPage(browser, service.url);
    await submit(page, 'odd rows', 10, 'corpus/odd.jsonl');
    await badge(page, 'Done, some rows set aside').waitFor({ timeout: 200_000 });
    await page.getByRole('heading', { name: 'Set aside: 1' }).waitFor();
    const row = page.getByLabel('Rows set aside').getByRole('row').nth(1);
    expect(await row.locator('td').allTextContents()).toEqual([
      'odd.jsonl',
      '1',
      expect.any(String),
      expect.any(String),
    ]);
    await expectGoodInAllSizes(page);
    expect(problems).toEqual([]);
  });

  it('lists jobs, with one that is cancelled, tried again and deleted', async () => {
    const { page, problems } = await openPage(browser, service.url);
    await submit(page, 'to be cancelled', 300);
    await page.getByRole('button', { name: 'Cancel' }).click();
    // Escape is no.
    await page.getByRole('dialog', { name: 'Cancel this job?' }).waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Yes, cancel it' }).click();
    await badge(page, 'Cancelled').waitFor({ timeout: 120_000 });
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.getByRole('button', { name: 'Yes, run it again' }).click();
    await badge(page, 'Running').waitFor({ timeout: 120_000 });
    await page.getByText('attempt 2').first().waitFor();

    await page.getByRole('link', { name: 'Jobs' }).first().click();
    const row = page.getByRole('listitem').filter({ hasText: 'to be cancelled' });
    await row.getByRole('progressbar').waitFor();
    await page.getByLabel('Show').selectOption('failed');
    await page.getByText('None of these.').waitFor();
    await page.getByLabel('Show').selectOption('');
    await row.waitFor();
    await expectGoodInAllSizes(page);
    await row.getByRole('link').click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Yes, cancel it' }).click();
    await badge(page, 'Cancelled').waitFor({ timeout: 120_000 });
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('button', { name: 'Yes, delete it' }).click();
    await page.getByRole('heading', { name: 'Jobs', level: 1 }).waitFor();
    await expect.poll(() => row.count()).toBe(0);
    expect(problems).toEqual([]);
    await page.goto(`${service.url}/#/jobs/20200101t000000-0000`);
    await page.getByRole('heading', { name: 'No such job' }).waitFor();
  });

  it('offers a retry although the answer to the cancellation comes after the word that the job is over', async () => {
    const { page } = await openPage(browser, service.url);
    await submit(page, 'answered late', 300);
    await page.route('**/cancel', async (route) => {
      const response = await route.fetch();
      await badge(page, 'Cancelled').waitFor({ timeout: 120_000 });
      await route.fulfill({ response });
    });
    const answered = page.waitForResponse(/\/cancel$/, { timeout: 120_000 });
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Yes, cancel it' }).click();
    expect((await (await answered).json()).state).toBe('cancelling');
    await page.getByRole('button', { name: 'Retry' }).waitFor();
    await badge(page, 'Cancelled').waitFor();
  });

  it('reconnects after the service was killed and started again, and the job finishes', async () => {
    const { page } = await openPage(browser, service.url);
    await submit(page, 'through a restart', 150);
    await expect.poll(() => page.locator('td.part-done').count(), { timeout: 120_000 }).toBeGreaterThan(0);
    await service.kill();
    await page.getByText('The service does not answer').waitFor();
    service = await startService(root, { port: service.port });
    await expect
      .poll(() => page.getByText('The service does not answer').count(), { timeout: 60_000 })
      .toBe(0);
    await finished(page);
    await expect.poll(() => total(page, 'Documents')).toBe('450');
  });
});

describe.skipIf(chromiumPath === null)('a service with a token', () => {
  const root = temporaryFolder();
  let service: Served;
  beforeAll(async () => {
    await quickstartInputs(root);
    service = await startService(root, { token: 'correct-horse-battery' });
  });
  afterAll(() => service?.stop());

  it('is asked for it, once a tab, and opens files without it in the address', async () => {
    const { page, context } = await openPage(browser, service.url);
    const field = page.getByRole('textbox', { name: 'Token' });
    await field.fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('does not accept this token').waitFor();
    await expectGoodInAllSizes(page);
    await field.fill('correct-horse-battery');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'No jobs yet' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'No jobs yet' }).waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);

    await submit(page, 'behind a token', 10);
    await finished(page);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'log.jsonl' }).click();
    expect((await download).url()).not.toContain('correct-horse');
    const stored = (await page.evaluate('JSON.stringify([{ ...localStorage }, document.cookie])')) as string;
    expect(stored).toBe('[{},""]');
    await page.getByRole('button', { name: 'Forget token' }).click();
    await page.getByRole('dialog').waitFor();
    await context.close();
  });
});

describe.skipIf(chromiumPath === null)('more jobs than a page holds', () => {
  const root = temporaryFolder();
  let service: Served;
  beforeAll(async () => {
    await quickstartInputs(root);
    service = await startService(root, { args: ['--no-plans'] });
  });
  afterAll(() => service?.stop());

  it('are turned over, newest first', async () => {
    for (let i = 1; i <= 23; i++) {
      const answer = await fetch(`${service.url}/v1/jobs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: `job ${i}`, pipeline: pipelineOf(1) }),
      });
      expect(answer.status).toBe(201);
    }
    const { page, problems } = await openPage(browser, service.url);
    const names = page.locator('.job-name');
    await expect.poll(() => names.count()).toBe(20);
    expect(await names.first().textContent()).toBe('job 23');
    expect(await page.getByRole('button', { name: 'Newer' }).isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Older' }).click();
    await expect.poll(() => names.allTextContents()).toEqual(['job 3', 'job 2', 'job 1']);
    expect(await page.getByRole('button', { name: 'Older' }).isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Newer' }).click();
    await expect.poll(() => names.first().textContent()).toBe('job 23');
    expect(problems).toEqual([]);
  });
});
