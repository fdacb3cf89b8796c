import fc from 'fast-check';
import { DOMParser } from 'linkedom';
import { describe, expect, it } from 'vitest';
import { barPlot } from '#tokensieve/plot/bar-plot.js';
import { type HistogramPlot, histogramPlot } from '#tokensieve/plot/histogram-plot.js';
import { html } from '#tokensieve/plot/html.js';
import { page } from '#tokensieve/plot/page.js';

const parse = (svg: string) => new DOMParser().parseFromString(svg, 'image/svg+xml');
const texts = (svg: string): string[] =>
  [...parse(svg).querySelectorAll('text')].map(({ textContent }) => String(textContent));
const NASTY = `</svg><script>alert("1")</script>&'\0\u0007 \ud800`;

describe('histogramPlot', () => {
  const draw = (plot: Partial<HistogramPlot>): string =>
    histogramPlot({
      title: 'Loss',
      label: 'loss, nats',
      unit: 'tokens',
      lower: 0,
      width: 0.5,
      series: [],
      ...plot,
    });
  const outlines = (svg: string) =>
    [...parse(svg).querySelectorAll('[aria-label="line"]')].map((group) => ({
      dash: group.getAttribute('stroke-dasharray'),
      points: String(group.querySelector('path')?.getAttribute('d'))
        .slice(1)
        .split('L')
        .map((pair) => pair.split(',').map(Number) as [number, number]),
    }));

  it('draws steps from the ground as high as the roots of the counts', () => {
    const svg = draw({ series: [{ name: 'all', counts: [100, 400, 0, 25] }] });
    const [{ points } = { points: [] }] = outlines(svg);
    const ground = points[0]![1];
    const heights = points.map(([, y]) => ground - y);
    const unit = Math.max(...heights) / 20;
    expect(heights.map((height) => Math.round(height / unit))).toEqual([0, 10, 10, 20, 20, 0, 0, 5, 5, 0]);
    const widths = points.map(([x]) => Math.round((x - points[0]![0]) / (points[2]![0] - points[0]![0])));
    expect(widths).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
  });

  it('tells two series apart by more than colour, and names both', () => {
    const svg = draw({
      series: [
        { name: 'kept', counts: [1, 5] },
        { name: 'dropped', counts: [4, 2] },
      ],
    });
    expect(outlines(svg).map(({ dash }) => dash)).toEqual([null, '5 3']);
    expect(parse(svg).querySelectorAll('[aria-label="area"]')).toHaveLength(1);
    expect(texts(svg)).toEqual(expect.arrayContaining(['Loss', 'tokens', 'loss, nats', 'kept', 'dropped']));
  });

  it('cuts thin tails, and says how much it cut', () => {
    const counts = [1, 1, 0, 10_000, 5000, 0, 2, ...Array.from({ length: 50 }, () => 0)];
    const svg = draw({ series: [{ name: 'all', counts }] });
    expect(outlines(svg)[0]?.points).toHaveLength(2 * 2 + 2);
    expect(texts(svg)).toContain('loss, nats (0.027% lie beyond)');
  });

  it('marks a value where it is in view', () => {
    const series = [{ name: 'all', counts: [1, 1] }];
    expect(texts(draw({ series, mark: { value: 0.5, text: 'here' } }))).toContain('here');
    expect(texts(draw({ series, mark: { value: 5, text: 'here' } }))).not.toContain('here');
  });

  it('says that there is nothing to draw', () => {
    expect(texts(draw({}))).toContain('no data');
    expect(texts(draw({ series: [{ name: 'all', counts: [0, 0] }] }))).toContain('no data');
  });

  it('is sound for any counts and any text', () => {
    const counts = fc.array(fc.nat(), { maxLength: 20 });
    fc.assert(
      fc.property(counts, counts, (a, b) => {
        const svg = draw({
          title: NASTY,
          label: NASTY,
          series: [
            { name: NASTY, counts: a },
            { name: 'b', counts: b },
          ],
        });
        return !/NaN|Infinity|undefined|<script/.test(svg) && svg.match(/<\/svg>/g)?.length === 1;
      }),
      { numRuns: 40 },
    );
  });
});

describe('barPlot', () => {
  const bars = [
    { name: 'word', share: 0.5, text: '50% of 10' },
    { name: 'math', share: 1, text: '100% of 3' },
    { name: 'none', share: null, text: '–' },
  ];
  const lengths = (svg: string): number[] => {
    const [, shares] = [...parse(svg).querySelectorAll('[aria-label="bar"]')];
    return [...(shares?.querySelectorAll('rect') ?? [])].map((bar) => Number(bar.getAttribute('width')));
  };

  it('draws a bar for each group, with its name and its figure', () => {
    const svg = barPlot({ title: 'By class', label: 'kept', bars, mark: { share: 0.6, text: 'all 60%' } });
    expect(texts(svg)).toEqual(
      expect.arrayContaining(['By class', 'kept', 'word', 'math', '50% of 10', '100% of 3', 'all 60%']),
    );
    const [word = 0, math = 0, none = 0] = lengths(svg);
    expect(word).toBeCloseTo(math / 2);
    expect(math).toBeGreaterThan(100);
    expect(none).toBe(0);
  });

  it('grows with its bars, and draws none for none', () => {
    const height = (svg: string): number => Number(parse(svg).documentElement?.getAttribute('height'));
    const many = Array.from({ length: 41 }, (_, i) => ({ name: `g${i}`, share: 0.1, text: '' }));
    expect(height(barPlot({ title: '', label: '', bars: many }))).toBeGreaterThan(700);
    expect(texts(barPlot({ title: 'T', label: '', bars: [] }))).toContain('no data');
  });

  it('keeps groups of one name apart, and cuts long names', () => {
    const same = [0.2, 0.4].map((share) => ({ name: 'a'.repeat(50), share, text: '' }));
    const svg = barPlot({ title: 'T', label: '', bars: same });
    expect(lengths(svg)).toHaveLength(2);
    expect(texts(svg).filter((text) => text === `${'a'.repeat(21)}…`)).toHaveLength(2);
  });

  it('is sound for any share and any text', () => {
    const share = fc.oneof(fc.double(), fc.constant(null));
    fc.assert(
      fc.property(
        fc.array(fc.record({ name: fc.string(), share, text: fc.string() }), { maxLength: 5 }),
        (some) => {
          const svg = barPlot({
            title: NASTY,
            label: NASTY,
            bars: [...some, { name: NASTY, share: 1, text: NASTY }],
          });
          return !/NaN|Infinity|<script/.test(svg) && svg.match(/<\/svg>/g)?.length === 1;
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('a page with a script', () => {
  it('allows that script by its hash, and holds none that could break out', () => {
    const text = page('t', html`<p>x</p>`, { script: 'console.log(1);', css: 'p { margin: 0 }' });
    expect(text).toContain('<script type="module">console.log(1);</script>');
    expect(text).toMatch(/script-src 'sha256-[\w+/]{43}='/);
    expect(text).toContain('p { margin: 0 }');
    expect(() => page('t', html``, { script: 'x = "</SCRIPT>"' })).toThrow();
    expect(() => page('t', html``, { script: 'x = "<!--"' })).toThrow();
  });
});
