/// <reference lib="dom" />
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderAudit } from '#tokensieve/audit/page/render.js';
import type { ReadingDocument } from '#tokensieve/audit/reading/reading-document.js';
import type { Audit } from '#tokensieve/audit/report.js';
import { chromiumPath } from '../support/chromium.js';
import { temporaryFolder } from '../support/quickstart.js';
import { auditAndRead, auditRun } from './audit-run.js';
import { documentOf, NASTY } from './reading-documents.js';

if (chromiumPath === null) {
  console.warn(
    'skipped: no Chromium (the audit page is not tested in a browser); install it or set CHROMIUM',
  );
}

describe.skipIf(chromiumPath === null)('the audit page in a browser', () => {
  const folder = temporaryFolder();
  let browser: Browser;
  let audit: Audit;
  let documents: readonly ReadingDocument[];
  let path: string;

  beforeAll(async () => {
    ({ audit, documents } = await auditAndRead(await auditRun(folder)));
    path = write('report.html', renderAudit(audit, documents));
    browser = await chromium.launch({ executablePath: chromiumPath ?? '', args: ['--no-sandbox'] });
  });
  afterAll(() => browser?.close());

  function write(name: string, text: string): string {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, name);
    writeFileSync(file, text);
    return file;
  }

  /** Runs `use` on the page as opened from disk, without a network; nothing may be complained of or asked for. */
  async function opened(
    file: string,
    use: (page: Page) => Promise<void>,
    options: BrowserContextOptions = {},
  ): Promise<void> {
    const context = await browser.newContext({ offline: true, ...options });
    const complaints: string[] = [];
    const requests: string[] = [];
    try {
      const page = await context.newPage();
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('request', (request) => requests.push(request.url()));
      await page.goto(pathToFileURL(file).href);
      await page.waitForSelector('#reader.ready', { state: 'attached' });
      await use(page);
      expect(complaints).toEqual([]);
      expect(requests.filter((url) => !url.startsWith(pathToFileURL(file).href))).toEqual([]);
    } finally {
      await context.close();
    }
  }

  /** The document whose text is shown. */
  const openDocument = async (page: Page): Promise<ReadingDocument> => {
    const index = await page.locator('#documents button[aria-current=true]').getAttribute('data-document');
    return documents[Number(index)]!;
  };
  const spanAt = (page: Page, i: number) => page.locator(`#text > [data-unit="${i}"]`);

  it('shows a text as it was, kept and dropped apart', () =>
    opened(path, async (page) => {
      const { text, tokens } = await openDocument(page);
      expect(await page.locator('#text').evaluate((element) => element.textContent)).toBe(text);
      const count = (name: string) => page.locator(`#text > .${name}`).count();
      const targets = tokens.reference!.filter((loss) => !Number.isNaN(loss)).length;
      const kept = tokens.weight!.filter((weight) => weight > 0).length;
      expect([await count('kept'), await count('dropped')]).toEqual([kept, targets - kept]);
      const decoration = (name: string) =>
        page
          .locator(`#text > .${name}`)
          .first()
          .evaluate((element) => {
            const { color, textDecorationLine, textDecorationStyle } = getComputedStyle(element);
            return { color, line: `${textDecorationLine} ${textDecorationStyle}` };
          });
      const [keptLook, droppedLook] = [await decoration('kept'), await decoration('dropped')];
      // Apart by more than the colour.
      expect(keptLook.line).toMatch(/^none/);
      expect(droppedLook.line).toBe('underline dotted');
      expect(droppedLook.color).not.toBe(keptLook.color);
    }));

  it('searches the texts of all documents, and leads from hit to hit', () =>
    opened(path, async (page) => {
      const word = /[a-z]{6,}/.exec(documents.at(-1)!.text)![0];
      const holding = documents.filter(({ text }) => text.toLowerCase().includes(word));
      await page.fill('#search', word.toUpperCase());
      expect(await page.locator('#documents > li:visible').count()).toBe(holding.length);
      expect(await page.locator('#found').textContent()).toContain(`in ${holding.length} of`);
      await page.press('#search', 'Enter');
      const focused = await page.evaluate(() => document.activeElement?.classList.contains('hit'));
      expect(focused).toBe(true);
      const hit = await page
        .locator('#text')
        .evaluate((element) =>
          [...element.querySelectorAll('.hit')].map((span) => span.textContent).join(''),
        );
      expect(hit.toLowerCase()).toContain(word);
      await page.fill('#search', 'no text has this \\ ( [');
      expect(await page.locator('#documents > li:visible').count()).toBe(0);
      await page.fill('#search', '');
      expect(await page.locator('#documents > li:visible').count()).toBe(documents.length);
    }));

  it('tells a token’s losses to the keyboard', () =>
    opened(path, async (page) => {
      const { text, tokens } = await openDocument(page);
      await spanAt(page, 0).focus();
      const steps = 9;
      for (let i = 0; i < steps; i++) await page.keyboard.press('ArrowRight');
      const unit = await page.evaluate(() => (document.activeElement as HTMLElement).dataset['unit']);
      expect(unit).toBe(String(steps));
      const card = ((await page.locator('#card').textContent()) ?? '').replace(/−/g, '-');
      const loss = (name: string) => Number(new RegExp(`${name} ([-+\\d.]+) nats`).exec(card)?.[1]);
      expect(Math.abs(loss('reference loss') - tokens.reference![steps]!)).toBeLessThanOrEqual(0.0051);
      expect(Math.abs(loss('current loss') - tokens.current![steps]!)).toBeLessThanOrEqual(0.0051);
      expect(card).toContain(`id ${tokens.ids[steps]}`);
      expect(card).toContain(tokens.weight![steps]! > 0 ? 'kept' : 'dropped');
      expect(text.slice(tokens.start[steps], tokens.end[steps])).toBe(
        await spanAt(page, steps).textContent(),
      );
      // To the line below and back, to the next dropped stretch, out of sight.
      await page.keyboard.press('ArrowDown');
      const below = await page.evaluate(() => document.activeElement!.getBoundingClientRect().top);
      expect(below).toBeGreaterThan((await spanAt(page, steps).boundingBox())!.y);
      await page.keyboard.press('Home');
      await page.keyboard.press('d');
      const state = () => page.evaluate(() => document.activeElement!.className);
      expect(await state()).toContain('dropped');
      await page.keyboard.press('k');
      expect(await state()).toContain('kept');
      await page.keyboard.press('Escape');
      expect(await page.locator('#card').isVisible()).toBe(false);
    }));

  it('changes what the text shows', () =>
    opened(path, async (page) => {
      const line = (name: string) =>
        page
          .locator(`#text > .${name}`)
          .first()
          .evaluate((element) => {
            const { textDecorationStyle, textDecorationThickness } = getComputedStyle(element);
            return `${textDecorationStyle} ${textDecorationThickness}`;
          });
      await page.check('input[value=excess]');
      // How far the losses are apart by the line's thickness, which way by its kind.
      expect(await line('down3')).toBe('dashed 3px');
      expect(await line('up2')).toBe('solid 2px');
      expect(await page.locator('.legend:visible').count()).toBe(1);
      await page.check('input[value=loss]');
      expect(await line('l3')).toBe('solid 3px');
      expect(await line('l1')).toBe('solid 1px');
    }));

  it('opens the document that a link names', () =>
    opened(path, async (page) => {
      const link = page.locator('#documents-by-excess a').first();
      const index = Number(/\d+$/.exec((await link.getAttribute('href'))!)![0]);
      await link.click();
      // The click is over before the page has heard that its address is another.
      await expect.poll(() => openDocument(page), { timeout: 10_000 }).toBe(documents[index]);
    }));

  it.each([375, 1440])('fits %d pixels in light and in dark, and prints', (width) =>
    opened(
      path,
      async (page) => {
        const over = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(await over()).toBeLessThanOrEqual(0);
        await page.emulateMedia({ colorScheme: 'dark' });
        const ink = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        expect(ink).toBe('rgb(22, 24, 29)');
        await page.emulateMedia({ media: 'print' });
        expect(await page.locator('#documents').isVisible()).toBe(false);
        expect(await page.locator('#text').isVisible()).toBe(true);
        expect(await over()).toBeLessThanOrEqual(0);
      },
      { viewport: { width, height: 900 } },
    ),
  );

  it('runs nothing that a document says, and shows it as it is', async () => {
    const nasty = documentOf(
      NASTY.map((text) => ({ text, reference: 1, current: 2, weight: 1 })),
      { columns: { url: NASTY.join('') }, source: 'rebuilt', note: NASTY.join('') },
    );
    const file = write('nasty.html', renderAudit({ ...audit, title: 'Nasty' }, [nasty]));
    await opened(file, async (page) => {
      expect(await page.title()).toBe('Nasty');
      const shown = await page
        .locator('#text')
        .evaluate((element) => Array.from(element.textContent ?? '', (unit) => unit.codePointAt(0)));
      expect(shown).toEqual(Array.from(NASTY.join(''), (unit) => unit.codePointAt(0)));
      expect(await page.locator('#text img, #text script').count()).toBe(0);
      expect(await page.locator('#text > .isolated').count()).toBe(1);
    });
  });
});
