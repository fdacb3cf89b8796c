/// <reference lib="dom" />
/** Pages of training, of the quickstart's report and of compared runs, with names from strangers, in a browser. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportSchema } from '#tokensieve/report/settings.js';
import { writeReport } from '#tokensieve/report/write-report.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { openMetrics } from '#tokensieve/train/metrics.js';
import { writeTrainingReport } from '#tokensieve/train/report/training-report.js';
import { metricsAt } from '../../fixtures/trainer/write.mjs';
import { chromiumPath } from '../support/chromium.js';
import { cliHere } from '../support/cli-here.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';

if (chromiumPath === null)
  console.warn('skipped: no Chromium (pages with names from strangers are not tried in a browser)');

const OWN = 'globalThis.owned=1';
const NAMES = [
  `<script>${OWN}</script>`,
  `</script><script>${OWN}</script>`,
  `"><img src=x onerror="${OWN}">`,
  `'><svg onload='${OWN}'>`,
  `</title></style><iframe srcdoc="<script>parent.${OWN}</script>">`,
  `<a href="javascript:${OWN}">a</a>`,
  `--><!-- ]]> &lt;b&gt; \u0024& \u0024{${OWN}}`,
  `\u202e\u2028\u0000{{${OWN}}}`,
];

describe.skipIf(chromiumPath === null)('names from strangers', () => {
  const root = temporaryFolder();
  const at = (...names: string[]): string => join(root, ...names);
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: chromiumPath ?? '', args: ['--no-sandbox'] });
  });
  afterAll(() => browser?.close());

  /** Nothing of them runs, loads or becomes a part of the page; each is there to be read. */
  async function harmless(file: string, shown: readonly string[]): Promise<void> {
    const page = await (await browser.newContext({ offline: true })).newPage();
    const told: string[] = [];
    page.on('console', (message) => told.push(message.text()));
    page.on('pageerror', (error) => told.push(error.message));
    page.on('request', (request) => told.push(request.url()));
    await page.goto(pathToFileURL(file).href);
    const found = await page.evaluate(() => ({
      owned: (globalThis as { owned?: unknown }).owned,
      foreign: document.querySelectorAll('iframe, img[src=x], [onerror], [onload], a[href^="javascript:"]')
        .length,
      text: document.documentElement.textContent ?? '',
    }));
    expect(told.filter((one) => one !== pathToFileURL(file).href)).toEqual([]);
    expect(found).toMatchObject({ foreign: 0 });
    expect(found.owned).toBeUndefined();
    for (const name of shown) expect(found.text).toContain(name);
    await page.context().close();
  }

  async function trained(folder: string, names: readonly string[]): Promise<string> {
    mkdirSync(folder, { recursive: true });
    const metrics = await openMetrics(join(folder, 'metrics.jsonl'));
    for (let step = 1; step <= 4; step++)
      await metrics.append({
        ...metricsAt(step),
        held_out: Object.fromEntries(names.map((name, i) => [name, 3 - i / 9 - step / 16])),
      });
    await metrics.close();
    return folder;
  }

  it('are text on the page of a training run', async () => {
    const folder = await trained(at('trained'), NAMES);
    const settings = {
      out: NAMES[2] ?? '',
      model: { start: NAMES[0] ?? '' },
      [NAMES[3] ?? '']: [NAMES[1] ?? ''],
    };
    await harmless(await writeTrainingReport(folder, settings), NAMES.slice(0, 4));
  });

  it('are text on the page of runs side by side, as the quickstart writes it', async () => {
    // Names of arms are letters, digits and a few signs.
    const arms = { one: [await trained(at('arm-1'), NAMES)], two: [await trained(at('arm-2'), NAMES)] };
    const set = { documents: 3, loss: 1.2, loss_stderr: 0.01, bits_per_byte: 0.5 };
    writeFileSync(
      at('eval.json'),
      JSON.stringify({ model_name: NAMES[2], held_out: { [NAMES[0] ?? '']: set } }),
    );
    const out = at('report.html');
    const settings = reportSchema.parse({
      title: NAMES[4],
      out,
      arms,
      baseline: 'one',
      evaluations: [at('eval.json')],
    });
    const files = NAMES.map((name) => ({ name, what: name, path: name }));
    await writeReport(settings, { storage: localStorage(), files });
    await harmless(out, NAMES.slice(0, 6));
  });

  it('are text on the page of two runs compared, whose folders, shards and columns have them', async () => {
    const { reference, current } = await quickstartInputs(at('inputs'));
    // Names of files have no slash.
    const name = `"><img src=x onerror="${OWN}">`;
    mkdirSync(at(name));
    const line = JSON.stringify({
      text: `${NAMES.slice(0, 6).join(' ')} and more. `.repeat(3),
      url: `http://${NAMES[2]}/`,
      [NAMES[3] ?? '']: NAMES[0],
    });
    writeFileSync(at(name, `${name}.jsonl`), `${line}\n`.repeat(4));
    const [one, two] = [at(name, 'one'), at(name, 'two')];
    const models = ['--reference', reference, '--current', current, '--sequence-length', '64'];
    const done = async (args: readonly string[]) =>
      expect(await cliHere([...args, '--log', 'none'])).toMatchObject({ code: 0 });
    await done([
      'score',
      '--shards',
      at(name, `${name}.jsonl`),
      ...models,
      '--keep-columns',
      'url',
      NAMES[3] ?? '',
      '--out',
      one,
      '--device',
      'cpu',
    ]);
    cpSync(one, two, { recursive: true });
    await done(['select', one]);
    await done(['select', two, '--keep', '0.3']);
    const out = at('audit');
    await done(['audit', one, '--compare', two, '--title', NAMES[1] ?? '', '--by', 'url', '--out', out]);
    await harmless(join(out, 'report.html'), [name]);
  });
});
