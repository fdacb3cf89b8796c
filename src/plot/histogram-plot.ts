/** Counts in bins of equal width, one or two sets over a common axis, as one SVG string. */
import * as Plot from '@observablehq/plot';
import { CHARACTER, drawn, FONT_SIZE, headline, STROKE, tickText } from './drawing.js';
import { printable } from './html.js';
import { colourOf } from './style.js';

export interface HistogramSeries {
  readonly name: string;
  /** One count a bin. */
  readonly counts: readonly number[];
}

export interface HistogramPlot {
  readonly title: string;
  /** Name and unit of what is counted by. */
  readonly label: string;
  /** What a count is of: `tokens`. */
  readonly unit: string;
  /** Where the first bin begins, and how wide each is. */
  readonly lower: number;
  readonly width: number;
  /** The first is drawn as an area, the others as dashed outlines, so that they lie over each other. */
  readonly series: readonly HistogramSeries[];
  /** A value to mark with a line: 0, where two losses are equal. */
  readonly mark?: { readonly value: number; readonly text: string };
}

const SIZE = { width: 400, height: 230 } as const;
const MARGIN = { top: 52, bottom: 38, left: 46, right: 10 } as const;
/** Bins at either end with fewer counts than this share of the highest are left out, and counted in the label. */
const TAIL = 0.001;
const DASH = '5 3';

/**
 * A self-contained `<svg>`. Heights are square roots of counts: losses pile up at 0, and on a plain scale nothing
 * else would be seen; the axis says the counts. Long thin tails are cut off, and the axis label says how much of all.
 */
export function histogramPlot(plot: HistogramPlot): string {
  const { title, series, lower, width } = plot;
  const sums = Array.from({ length: Math.max(0, ...series.map(({ counts }) => counts.length)) }, (_, bin) =>
    series.reduce((sum, { counts }) => sum + (counts[bin] ?? 0), 0),
  );
  const [from, to] = body(sums);
  const total = sums.reduce((sum, count) => sum + count, 0);
  const shown = sums.slice(from, to).reduce((sum, count) => sum + count, 0);
  const at = (bin: number): number => lower + bin * width;
  const steps = ({ counts }: HistogramSeries) =>
    counts.slice(from, to).map((count, i) => ({ x1: at(from + i), x2: at(from + i + 1), count }));
  const beyond = total === 0 ? 0 : (total - shown) / total;
  const label = printable(plot.label) + (beyond > 0 ? ` (${shareText(beyond)} lie beyond)` : '');
  const domain = [at(from), Math.max(at(to), at(from) + width)] as const;
  const mark = plot.mark;
  const isMarked = mark !== undefined && mark.value >= domain[0] && mark.value <= domain[1];
  const svg = drawn({
    ...SIZE,
    marginTop: MARGIN.top,
    marginBottom: MARGIN.bottom,
    marginLeft: MARGIN.left,
    marginRight: MARGIN.right,
    ariaLabel: printable(title),
    x: { domain, label, labelAnchor: 'center', labelArrow: 'none', ticks: 6, tickFormat: tickText },
    y: { type: 'sqrt', label: null, grid: true, ticks: 5, tickFormat: tickText, zero: true },
    marks: [
      headline(title, 4, MARGIN, { fontSize: 13, fontWeight: 'bold' }),
      headline(plot.unit, 23, MARGIN),
      ...(total === 0 ? [Plot.text(['no data'], { frameAnchor: 'middle' })] : []),
      ...series.flatMap((one, index) => (total === 0 ? [] : seriesMarks(steps(one), index))),
      ...(isMarked
        ? [
            Plot.ruleX([mark.value], { strokeOpacity: 0.55 }),
            Plot.text([printable(mark.text)], {
              x: mark.value,
              frameAnchor: 'top',
              lineAnchor: 'bottom',
              dy: -2,
              fillOpacity: 0.75,
            }),
          ]
        : []),
      Plot.ruleY([0], { strokeOpacity: 0.5 }),
    ],
  });
  // A key beside the unit: the names in words, each after a piece of its own drawing.
  let left = 8 + CHARACTER * plot.unit.length + 18;
  const key: { readonly name: string; readonly x: number }[] = [];
  for (const [index, { name }] of series.entries()) {
    if (series.length === 1) break;
    const stroke = { stroke: colourOf(index), 'stroke-width': STROKE };
    if (index === 0) {
      svg.add('rect', {
        x: left,
        y: 20,
        width: 18,
        height: 9,
        fill: colourOf(0),
        'fill-opacity': 0.35,
        ...stroke,
      });
    } else {
      svg.add('line', { x1: left, x2: left + 20, y1: 25, y2: 25, 'stroke-dasharray': DASH, ...stroke });
    }
    key.push({ name, x: left + 25 });
    left += 25 + CHARACTER * name.length + 16;
  }
  for (const { name, x } of key) svg.addText(name, { x, y: 25 + FONT_SIZE * 0.36 });
  return svg.toString();
}

/** Bins [from, to) outside of which there are only thin tails. */
function body(sums: readonly number[]): readonly [number, number] {
  const least = Math.max(...sums, 0) * TAIL;
  const from = sums.findIndex((count) => count > least);
  const last = sums.findLastIndex((count) => count > least);
  return from < 0 ? [0, 1] : [from, last + 1];
}

const shareText = (share: number): string => `${(100 * share).toPrecision(2)}%`;

interface Step {
  readonly x1: number;
  readonly x2: number;
  readonly count: number;
}

function seriesMarks(steps: readonly Step[], index: number): Plot.Markish[] {
  const colour = colourOf(index);
  // From the ground up and down again, a corner at either end of each bin.
  const corners = steps.flatMap(({ x1, x2, count }) => [
    { x: x1, y: count },
    { x: x2, y: count },
  ]);
  const outline = [{ x: steps[0]?.x1, y: 0 }, ...corners, { x: steps.at(-1)?.x2, y: 0 }];
  const line = Plot.lineY(outline, {
    x: 'x',
    y: 'y',
    stroke: colour,
    strokeWidth: STROKE,
    ...(index > 0 && { strokeDasharray: DASH }),
  });
  return index > 0
    ? [line]
    : [Plot.areaY(corners, { x: 'x', y1: 0, y2: 'y', fill: colour, fillOpacity: 0.35 }), line];
}
