import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumPath } from '../support/chromium.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { launch, openPage } from './browser.js';
import { type Served, startService } from './served.js';

// A queue that other clients keep full: the service refuses for real, and the page says when to come back.

const words = 'The sum of two and three is five, and the product of two and three is six. ';

describe.skipIf(chromiumPath === null)('a service whose queue is full', () => {
  const root = temporaryFolder();
  let service: Served;
  let browser: Browser;
  beforeAll(async () => {
    await quickstartInputs(root);
    const config = join(root, 'serve.yaml');
    writeFileSync(config, 'score: { request_tokens: 4096, queue_tokens: 4096, batch_tokens: 256 }\n');
    [service, browser] = await Promise.all([startService(root, { args: ['--config', config] }), launch()]);
  });
  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });

  it('is said to be busy, with the time to wait, and scores later', async () => {
    const { page } = await openPage(browser, `${service.url}/#/playground`);
    const button = page.getByRole('button', { name: 'Score', exact: true });
    // More than half of the queue, while small texts fill whatever room there is.
    await page.getByLabel('Text', { exact: true }).fill(words.repeat(50));
    let rush = true;
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ texts: [words.repeat(6)] });
    const client = async (): Promise<void> => {
      while (rush) {
        const answer = await fetch(`${service.url}/v1/score`, { method: 'POST', headers, body });
        await answer.arrayBuffer();
        if (!answer.ok) await setTimeout(20);
      }
    };
    const clients = Array.from({ length: 24 }, client);
    const busy = page
      .getByRole('alert')
      .getByText(/The service is busy\. (Try again in \d+ s|You can try again now)\./);
    // Some requests of the page may still find room.
    await expect
      .poll(
        async () => {
          await button.click();
          await expect.poll(() => button.textContent()).toBe('Score');
          return busy.count();
        },
        { timeout: 60_000 },
      )
      .toBe(1);
    rush = false;
    await Promise.all(clients);
    await page.getByText('You can try again now').waitFor();
    await button.click();
    await page.locator('#kept-count').waitFor();
    await expect.poll(() => busy.count()).toBe(0);
  });
});
