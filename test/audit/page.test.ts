import { createHash } from 'node:crypto';
import { parseHTML } from 'linkedom';
import { beforeAll, describe, expect, it } from 'vitest';
import { keptInWords } from '#tokensieve/audit/kept-in-words.js';
import type { PageData } from '#tokensieve/audit/page/browser/page-data.js';
import {
  classesOf,
  describe as describeToken,
  unitsOf,
  visible,
} from '#tokensieve/audit/page/browser/tokens.js';
import { inert, readingData } from '#tokensieve/audit/page/reading-data.js';
import { renderAudit } from '#tokensieve/audit/page/render.js';
import { readerScript } from '#tokensieve/audit/page/script.js';
import { bytes, clipped, nats, plain, share } from '#tokensieve/audit/page/words.js';
import { MAX_DOCUMENT_TOKENS, type ReadingDocument } from '#tokensieve/audit/reading/reading-document.js';
import type { Audit } from '#tokensieve/audit/report.js';
import { diagnose } from '#tokensieve/select/diagnosis/diagnose.js';
import { methodTraits } from '#tokensieve/select/diagnosis/method-traits.js';
import { temporaryFolder } from '../support/quickstart.js';
import { auditAndRead, auditRun } from './audit-run.js';
import { documentOf, NASTY } from './reading-documents.js';

const parse = (page: string) => parseHTML(page).document;
const dataOf = (page: string): PageData => {
  const [, json = ''] =
    /<script type="application\/json" id="reading-data">(.*?)<\/script>/s.exec(page) ?? [];
  return JSON.parse(json);
};

describe('the page of a real run', () => {
  const folder = temporaryFolder();
  let audit: Audit;
  let documents: readonly ReadingDocument[];
  let page: string;

  beforeAll(async () => {
    ({ audit, documents } = await auditAndRead(await auditRun(folder)));
    page = renderAudit(audit, documents);
  });

  it('says what was kept, and links to every section it has', () => {
    const document = parse(page);
    const kept = audit.totals.kept! / audit.totals.eligible;
    expect(document.querySelector('.lead')?.textContent).toContain(`(${(100 * kept).toFixed(1)}%) were kept`);
    expect(document.querySelector('.facts')?.textContent).toContain('2 rows (2 null-text)');
    const links = [...document.querySelectorAll('.contents a')].map((link) => link.getAttribute('href')!);
    expect(links.length).toBeGreaterThan(5);
    for (const link of links) expect(document.querySelector(link), link).not.toBeNull();
    // A chart for each distribution and each grouping.
    expect(document.querySelectorAll('#distributions svg')).toHaveLength(audit.distributions.length);
    expect(document.querySelectorAll('#kept svg')).toHaveLength(audit.kept_by.length);
    expect(/NaN|undefined|\[object/.exec(page.replace(/<script.*?<\/script>/gs, ''))).toBeNull();
  });

  it('says of the method what the figures bear out, and warns of what they speak against', () => {
    const claim = 'what the reference finds predictable and the current model has not learnt';
    expect(audit.findings).toEqual([]);
    const summary = parse(page).querySelector('#summary');
    expect(summary?.textContent).toContain(claim);
    expect(summary?.querySelector('.warning')).toBeNull();
    // The two models the other way round, by the run's own figures.
    const { count, mean } = audit.columns.find(({ name }) => name === 'excess')!;
    const excess = { tokens: count, negative: 0.7 * count, mean: -Math.abs(mean), deviation: 1 };
    const kept = { weight: 0.6 * count, negative: 0.3 * count, lowest: -0.31, uniform: false };
    const figures = { ...excess, low: -2, high: 1, kept };
    const findings = diagnose({
      excess: figures,
      groups: [],
      method: methodTraits(audit.run.conventions ?? {}),
    });
    expect(findings.map(({ code }) => code)).toEqual(['reference-weaker', 'kept-negative']);
    const swapped = { ...audit, findings, kept_in_words: keptInWords('slm', figures, findings) };
    const text = parse(renderAudit(swapped, documents)).querySelector('#summary');
    expect(text?.textContent).not.toContain(claim);
    const warnings = [...(text?.querySelectorAll('.warning') ?? [])].map((one) => one.textContent);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain('Take care: the current model has the lower loss on 70% of the tokens');
    expect(warnings[1]).toContain('50% of what is kept has a negative excess, down to −0.31 nats');
  });

  it('holds the documents with their text, and losses to a hundredth', () => {
    const data = dataOf(page);
    expect(data.documents).toHaveLength(documents.length);
    data.documents.forEach((found, i) => {
      const { text, tokens } = documents[i]!;
      expect(found.text).toBe(text);
      expect(found.ids).toEqual([...tokens.ids]);
      expect(found.weights).toBe([...tokens.weight!].join(''));
      for (const name of ['reference', 'current'] as const) {
        tokens[name]!.forEach((loss, token) => {
          const value = found[name]![token]!;
          if (Number.isNaN(loss)) expect(value).toBeNull();
          else expect(Math.abs(value / 100 - loss)).toBeLessThanOrEqual(0.005 + 1e-6);
        });
      }
      // Spans laid end to end are the text.
      const units = unitsOf(found);
      expect(units.map(({ start, end }) => text.slice(start, end)).join('')).toBe(text);
      expect(units.reduce((sum, { first, last }) => sum + last - first + 1, 0)).toBe(tokens.ids.length);
    });
  });

  it('links documents of highest and lowest excess to their place in the reading view', () => {
    const document = parse(page);
    const link = document.querySelector('#documents-by-excess a[href^="#document-"]')!;
    const item = document.querySelector(link.getAttribute('href')!)!;
    expect(item.getAttribute('data-chosen')).toMatch(/highest|lowest/);
  });

  it('names its one script by hash, and allows nothing else', () => {
    const scripts = [...page.matchAll(/<script(.*?)>(.*?)<\/script>/gs)];
    expect(scripts.map(([, attributes]) => attributes)).toEqual([
      ' type="application/json" id="reading-data"',
      ' type="module"',
    ]);
    const hash = createHash('sha256').update(scripts[1]![2]!).digest('base64');
    expect(page).toContain(
      `content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'"`,
    );
    expect(/<link|<img|<iframe|@import|url\(|(?:src|href)="(?!#)/.exec(page)).toBeNull();
  });

  it('goes without a selection, without text, without documents', () => {
    const unselected: Audit = {
      ...audit,
      totals: { ...audit.totals, kept: null, weight_sum: null },
      kept_by: audit.kept_by.map((by) => ({
        ...by,
        groups: by.groups.map((group) => ({ ...group, kept: null })),
      })),
      distributions: audit.distributions.map((one) => ({ ...one, kept: null, dropped: null })),
    };
    const scored = documents.map((one) => ({ ...one, tokens: { ...one.tokens, weight: null } }));
    const document = parse(renderAudit(unselected, scored));
    expect(document.querySelector('.lead')?.textContent).toContain('Nothing has been selected');
    const modes = [...document.querySelectorAll('input[name=mode]')].map((mode) =>
      mode.getAttribute('value'),
    );
    expect(modes).toEqual(['excess', 'loss']);
    expect(document.querySelector('[data-jump=dropped]')).toBeNull();
    const empty = renderAudit(audit, []);
    expect(empty).toContain('There is no document to read');
    expect(empty).not.toContain('<script');
  });

  it('says above a text that is cut or not the shard’s own', () => {
    const [first] = documents;
    const [cut, rebuilt] = [
      { ...first!, complete: false, totalTokens: 98_765 },
      { ...first!, source: 'rebuilt' as const, note: 'its digest differs' },
    ];
    const facts = (one: ReadingDocument) =>
      parse(renderAudit(audit, [one]))
        .querySelector('#document-0')
        ?.getAttribute('data-facts');
    expect(facts(cut)).toContain('of 98,765 tokens are shown');
    expect(facts(rebuilt)).toContain('The text is rebuilt from the ids: its digest differs.');
  });

  it('is smaller than 5 MB for the largest of samples', () => {
    const text = renderAudit(audit, largest());
    expect(Buffer.byteLength(text)).toBeLessThan(5e6);
    expect(Buffer.byteLength(text)).toBeGreaterThan(3.8e6);
    expect(parse(text).querySelector('#reading > p')?.textContent).toContain('38 of them are long and cut');
  });

  it('lets no text become markup', () => {
    const nasty = NASTY.join(' ');
    const sampled = documentOf(
      NASTY.map((text) => ({ text, reference: 1, current: 2, weight: 1 })),
      { shard: nasty, columns: { url: nasty }, source: 'rebuilt', note: nasty },
    );
    // Every string of the audit is replaced, but for those that are keys of the page's own.
    const own = new Set(['by', 'class', 'column', 'name', 'kind', 'verdict', 'role']);
    const spoilt = JSON.parse(
      JSON.stringify(audit, (key, value) =>
        typeof value === 'string' && (!own.has(key) || key === 'name') && !isColumn(value) ? nasty : value,
      ),
    ) as Audit;
    const text = renderAudit({ ...spoilt, title: nasty }, [sampled]);
    expect(text.match(/<script/g)).toHaveLength(2);
    expect(text.match(/<\/script>/g)).toHaveLength(2);
    expect(/<img|<!--/.exec(text)).toBeNull();
    expect(
      /.{40}(?:[\u2028\u2029\u202e\0]|[^\ud800-\udbff][\udc00-\udfff])/su.exec(text)?.[0],
    ).toBeUndefined();
    expect(dataOf(text).documents[0]!.text).toBe(NASTY.join(''));
    const before = parse(page).querySelectorAll('section').length;
    expect(parse(text).querySelectorAll('section')).toHaveLength(before);
  });
});

const isColumn = (value: string): boolean => /^(?:reference|current)_(?:loss|entropy)$|^excess$/.test(value);

/** As much as a sample can hold: long ids and losses, and text of which every character is an escape. */
const largest = (): ReadingDocument[] =>
  Array.from({ length: 38 }, (_, row) =>
    documentOf(
      Array.from({ length: MAX_DOCUMENT_TOKENS }, (_, i) => ({
        text: '<\u0001\u202e'.repeat(8),
        id: 1_000_000 + i,
        reference: 12.345 + i,
        current: 23.456,
        weight: 0.123,
      })),
      { row, totalTokens: 10_000 },
    ),
  );

describe('the data of the reading view', () => {
  it('stays within its size whatever is sampled, and cuts all documents alike', () => {
    const documents = largest();
    const { json, documents: cut } = readingData(documents);
    expect(Buffer.byteLength(json)).toBeLessThanOrEqual(3_800_000);
    expect(Buffer.byteLength(json)).toBeGreaterThan(3_000_000);
    const lengths = new Set(cut.map(({ tokens }) => tokens.ids.length));
    expect(lengths.size).toBe(1);
    expect(cut.every(({ complete }) => !complete)).toBe(true);
    const data: PageData = JSON.parse(json);
    expect(data.documents.map(({ text }) => text)).toEqual(cut.map(({ text }) => text));
  });

  it('cuts nothing that has room', () => {
    const document = documentOf([{ text: 'a', reference: 1, current: 1 }]);
    expect(readingData([document]).documents).toEqual([document]);
  });

  it('keeps weights that are small apart from none', () => {
    const { json } = readingData([
      documentOf([
        { text: 'a', reference: 1, current: 1, weight: 0.001 },
        { text: 'b', reference: 1, current: 1, weight: 2.5 },
        { text: 'c', reference: 1, current: 1, weight: 0 },
      ]),
    ]);
    const data: PageData = JSON.parse(json);
    expect(data).toMatchObject({ maxWeight: 250, documents: [{ weights: [1, 250, 0] }] });
    const classes = unitsOf(data.documents[0]!).map((unit) => classesOf(data.documents[0]!, unit, 250));
    expect(classes.map((each) => each.find((name) => /^w/.test(name)))).toEqual(['w1', 'w4', 'w0']);
    expect(classes.map((each) => each.find((name) => /kept|dropped/.test(name)))).toEqual([
      'kept',
      'kept',
      'dropped',
    ]);
  });

  it('shows pieces of one character as one span, and says what each came to', () => {
    const { json } = readingData([
      documentOf([
        { text: 'x' },
        { text: '€', reference: 1, current: 3, weight: 1 },
        { text: '€', reference: 0, current: 0, weight: 0, shared: true },
        { text: 'y', reference: 2, current: 0.5, weight: 0 },
      ]),
    ]);
    const document = (JSON.parse(json) as PageData).documents[0]!;
    const units = unitsOf(document);
    expect(units).toEqual([
      { start: 0, end: 1, first: 0, last: 0 },
      { start: 1, end: 2, first: 1, last: 2 },
      { start: 2, end: 3, first: 3, last: 3 },
    ]);
    expect(units.map((unit) => classesOf(document, unit, 100))).toEqual([
      ['none'],
      ['kept', 'w2', 'up2', 'l2'],
      ['dropped', 'w0', 'down2', 'l1'],
    ]);
    expect(describeToken(document, 0)).toEqual([['', 'not a target: it has no loss']]);
    expect(describeToken(document, 3)).toEqual([
      ['', 'dropped, weight 0'],
      ['reference loss', '2.00 nats (gave it 14%)'],
      ['current loss', '0.50 nats (gave it 61%)'],
      ['excess', '−1.50 nats'],
    ]);
  });

  it('is inert, and JSON all the same', () => {
    const text = NASTY.join('');
    const json = inert(JSON.stringify(text));
    expect(json).not.toMatch(/[<>&\u2028\u2029\u202e]/);
    expect(JSON.parse(json)).toBe(text);
  });
});

describe('words', () => {
  it('never rounds to none or all what is neither', () => {
    expect([
      share(0, 10),
      share(1, 1e6),
      share(1, 3),
      share(999_999, 1e6),
      share(10, 10),
      share(null),
    ]).toEqual(['0%', 'under 0.01%', '33.3%', 'over 99.99%', '100%', '–']);
    expect([nats(-0.001, true), nats(-1.5), nats(2, true), nats(null)]).toEqual([
      '0.00',
      '−1.50',
      '+2.00',
      '–',
    ]);
    expect([bytes(999), bytes(1_234_567)]).toEqual(['999 bytes', '1.23 MB']);
  });

  it('shows what cannot be seen, and cuts no character in two', () => {
    expect(visible(' a\n\t\u202e\u00ad')).toBe('␣a↵⇥⟨U+202E⟩⟨U+00AD⟩');
    expect(plain('a b\u2028c', 40)).toBe('a b⟨U+2028⟩c');
    expect(clipped('ab😀cd', 4)).toBe('ab…');
    expect(clipped('ab😀cd', 4, 'start')).toBe('…cd');
  });
});

describe('the script', () => {
  it('is one module that imports nothing and could not end its element', () => {
    const script = readerScript();
    expect(script).not.toMatch(/^(import|export)\b/m);
    expect(script).not.toMatch(/<\/script|<!--/i);
    expect(script.length).toBeLessThan(20_000);
    expect(() => new Function(script)).not.toThrow();
  });
});
