import fc from 'fast-check';
import { DOMParser } from 'linkedom';
import { describe, expect, it } from 'vitest';
import { escapeHtml, Html, html } from '#tokensieve/plot/html.js';
import { type LinePlot, linePlot, MAX_POINTS } from '#tokensieve/plot/line-plot.js';
import { page, table } from '#tokensieve/plot/page.js';
import { spread } from '#tokensieve/plot/spread.js';
import { colourOf } from '#tokensieve/plot/style.js';
import { type Point, thin } from '#tokensieve/plot/thin.js';

const axes = { title: 'Loss', x: { label: 'tokens' }, y: { label: 'nats' } };
const draw = (plot: Partial<LinePlot>): string => linePlot({ ...axes, series: [], ...plot });
const parse = (svg: string) => new DOMParser().parseFromString(svg, 'image/svg+xml');
const texts = (svg: string): string[] =>
  [...parse(svg).querySelectorAll('text')].map(({ textContent }) => String(textContent));
/** Paths of lines: they alone have a stroke and no fill. */
const lines = (svg: string): { stroke: string; dash: string | null; points: [number, number][] }[] =>
  [...parse(svg).querySelectorAll('[aria-label="line"]')].map((group) => ({
    stroke: String(group.getAttribute('stroke')),
    dash: group.getAttribute('stroke-dasharray'),
    points: String(group.querySelector('path')?.getAttribute('d'))
      .slice(1)
      .split('L')
      .map((pair) => pair.split(',').map(Number) as [number, number]),
  }));

describe('linePlot', () => {
  it('draws each series in its colour and dash, by place or as told, and names it at its end', () => {
    const points: Point[] = [
      [0, 1],
      [10, 3],
    ];
    const svg = draw({
      series: [
        { name: 'CLM', points },
        { name: 'SLM', points: points.map(([x, y]) => [x, y + 1]) },
        { name: 'SLM again', points, colour: 1, dash: 0 },
      ],
    });
    expect(lines(svg).map(({ stroke, dash }) => [stroke, dash])).toEqual([
      [colourOf(0), null],
      [colourOf(1), '7 3'],
      [colourOf(1), null],
    ]);
    expect(texts(svg)).toEqual(expect.arrayContaining(['Loss', 'nats', 'tokens', 'CLM', 'SLM', 'SLM again']));
  });

  it('puts points where the axes say', () => {
    const svg = draw({
      series: [
        {
          name: '',
          points: [
            [0, 0],
            [50, 5],
            [100, 10],
          ],
        },
      ],
      width: 400,
      height: 200,
    });
    const [line] = lines(svg);
    expect(line?.points).toEqual([
      [50, 160],
      [217, 105],
      [384, 50],
    ]);
    expect(texts(svg)).toEqual(expect.arrayContaining(['0', '10', '100']));
  });

  it('draws a long line as a mean in a band, a short one as it is', () => {
    const long = Array.from({ length: 10_000 }, (_, i): Point => [i, i % 2]);
    const svg = draw({ series: [{ name: 'noisy', points: long }] });
    expect(lines(svg)[0]?.points).toHaveLength(MAX_POINTS);
    expect(parse(svg).querySelectorAll('[aria-label="area"]')).toHaveLength(1);
    const short = draw({ series: [{ name: 'short', points: long.slice(0, MAX_POINTS) }] });
    expect(parse(short).querySelectorAll('[aria-label="area"]')).toHaveLength(0);
    expect(svg.length).toBeLessThan(40_000);
  });

  it('is well-formed and says what it is given, whatever that is', () => {
    const nasty = `</svg><script>alert("1")</script>&'\0\u0007 \ud800`;
    const svg = draw({
      title: nasty,
      x: { label: nasty },
      y: { label: nasty },
      series: [{ name: nasty, points: [[1, 1]] }],
    });
    expect(svg).not.toContain('<script');
    expect(svg.match(/<\/svg>/g)).toHaveLength(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be left
    expect(svg).not.toMatch(/[\0-\x08]|[^\ud800-\udbff][\udc00-\udfff]/);
    expect(texts(svg).filter((text) => text.startsWith('</svg><script>')).length).toBeGreaterThanOrEqual(4);
    expect(svg).toMatch(/^<svg [^<>]*role="img"/);
  });

  it('draws any numbers without a NaN in the picture', () => {
    const number = fc.oneof(fc.double(), fc.constantFrom(0, -1, 1e300, Number.NaN, Number.POSITIVE_INFINITY));
    const series = fc.record({
      name: fc.string(),
      points: fc.array(fc.tuple(number, number), { maxLength: 6 }),
    });
    fc.assert(
      fc.property(fc.array(series, { maxLength: 4 }), fc.constantFrom('linear', 'log'), (some, scale) => {
        const svg = draw({ series: some, y: { label: 'y', scale }, x: { label: 'x' } });
        const shapes = [...parse(svg).querySelectorAll('path, line')].map(({ attributes }) =>
          [...attributes]
            .map(({ name, value }) => (name === 'd' || /^[xy]\d$/.test(name) ? value : ''))
            .join(' '),
        );
        return shapes.every((shape) => !/NaN|Infinity|undefined/.test(shape));
      }),
      { numRuns: 40, examples: [[[{ name: '', points: [[3e-323, 0]] }], 'linear']] },
    );
  });

  it.each([
    ['a subnormal number', [[3e-323, 0]]],
    [
      'numbers a subnormal number apart',
      [
        [0, 0],
        [5e-324, 1],
      ],
    ],
    [
      'numbers a last bit apart',
      [
        [1, 1],
        [1 + Number.EPSILON, 2],
      ],
    ],
  ] as const)('has room for %s', (_, points) => {
    const svg = draw({ series: [{ name: 'a', points: points.map(([x, y]) => [x, y]) }] });
    expect(svg).not.toMatch(/NaN|Infinity/);
  });

  it('says that there is nothing to draw', () => {
    expect(texts(draw({ series: [{ name: 'a', points: [[Number.NaN, 1]] }] }))).toContain('no data');
    expect(
      texts(draw({ series: [{ name: 'a', points: [[1, -1]] }], y: { label: 'y', scale: 'log' } })),
    ).toContain('no data');
  });
});

describe('colours', () => {
  // WCAG 2: relative luminance and contrast ratio.
  const channel = (hex: string): number => {
    const value = Number.parseInt(hex, 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const luminance = (colour: string): number => {
    const [r, g, b] = (colour.slice(1).match(/../g) ?? []).map(channel);
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const contrast = (a: string, b: string): number => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high! + 0.05) / (low! + 0.05);
  };

  it.each(['#ffffff', '#16181d'])('stand out on %s', (ground) => {
    const colours = Array.from({ length: 6 }, (_, index) => colourOf(index));
    expect(new Set(colours).size).toBe(6);
    for (const colour of colours) expect(contrast(colour, ground)).toBeGreaterThan(3.5);
    expect(colourOf(7)).toBe(colourOf(1));
  });
});

describe('thin', () => {
  it('keeps means, extremes and order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 300 }),
        fc.integer({ min: 1, max: 40 }),
        (values, limit) => {
          const bins = thin(
            values.map((value, i) => [i, value]),
            limit,
          );
          expect(bins).toHaveLength(Math.min(limit, values.length));
          expect(Math.min(...bins.map(({ low }) => low))).toBe(Math.min(...values));
          expect(Math.max(...bins.map(({ high }) => high))).toBe(Math.max(...values));
          expect(bins.every(({ y, low, high }) => low <= y && y <= high)).toBe(true);
          expect(bins.every(({ x }, i) => i === 0 || x > bins[i - 1]!.x)).toBe(true);
        },
      ),
    );
    const thinned = thin(
      [
        [0, 1],
        [1, Number.NaN],
        [2, 3],
        [4, 5],
        [6, 7],
      ],
      2,
    );
    expect(thinned).toEqual([
      { x: 1, y: 2, low: 1, high: 3 },
      { x: 5, y: 6, low: 5, high: 7 },
    ]);
  });
});

describe('spread', () => {
  it('moves labels apart within bounds, in order, and none that need not move', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { maxLength: 9 }), (positions) => {
        const placed = spread(positions, 10, 0, 100);
        const order = positions.map((_, i) => i).sort((a, b) => positions[a]! - positions[b]! || a - b);
        const sorted = order.map((i) => placed[i]!);
        expect(sorted.every((at) => at >= -1e-9 && at <= 100 + 1e-9)).toBe(true);
        expect(sorted.every((at, i) => i === 0 || at - sorted[i - 1]! >= 10 - 1e-9)).toBe(true);
      }),
    );
    expect(spread([50, 10, 90], 10, 0, 100)).toEqual([50, 10, 90]);
    expect(spread([99, 98, 5], 10, 0, 100)).toEqual([100, 90, 5]);
    // No room for the gap: spread evenly.
    expect(spread([0, 0, 0, 0, 0], 50, 0, 100)).toEqual([0, 25, 50, 75, 100]);
  });
});

describe('html', () => {
  it('escapes whatever is put into it, and nothing twice', () => {
    const inner = html`<b>${'<i>'}</b>`;
    expect(html`<p title="${'"a\'&'}">${[inner, 1, 'x<y']}</p>`.text).toBe(
      '<p title="&#34;a&#39;&#38;"><b>&#60;i&#62;</b>1x&#60;y</p>',
    );
    expect(escapeHtml('a\u0000b\ud800')).toBe('a\ufffdb\ufffd');
    expect(escapeHtml('😀\n')).toBe('😀\n');
  });

  it('makes pages that fetch nothing and run nothing', () => {
    const text = page(
      '<t>',
      html`${table([{ title: 'n', number: true }], [['<td>'], [2]])}${new Html('<hr>')}`,
    );
    expect(text).toContain('<title>&#60;t&#62;</title>');
    expect(text).toContain('<td class="number">&#60;td&#62;</td>');
    expect(text).toContain("default-src 'none'");
    expect(text).not.toMatch(/<script|<link|<img|@import|url\(/);
  });
});
