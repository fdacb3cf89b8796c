/** Lines over a common axis, as one SVG string; drawn by Observable Plot on a document that is no browser's. */
import * as Plot from '@observablehq/plot';
import { CHARACTER, drawn as drawing, headline, STROKE, shortened, tickText } from './drawing.js';
import { printable } from './html.js';
import { spread } from './spread.js';
import { colourOf, dashOf } from './style.js';
import { type Bin, type Point, thin } from './thin.js';

export interface Axis {
  /** Name and unit. */
  readonly label: string;
  readonly scale?: 'linear' | 'log';
  /** Values that must be in view, beside the lines' own. */
  readonly include?: readonly number[];
}

export interface LineSeries {
  /** Written at the line's end; empty where the title says enough. */
  readonly name: string;
  readonly points: readonly Point[];
  /** Index of colour and of dash; by default the series' own: series of one kind may share either. */
  readonly colour?: number;
  readonly dash?: number;
}

export interface LinePlot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly LineSeries[];
  /** Pixels; 480 × 280 unless given. The SVG scales. */
  readonly width?: number;
  readonly height?: number;
}

/** Points of a line that are drawn; a longer one becomes a mean in a band from lowest to highest (`thin`). */
export const MAX_POINTS = 300;
/** Lines of few measurements show each. */
const MARKED_POINTS = 24;
const LABEL_GAP = 13;
/** Pixels from the frame to a name's piece of line, and the length of that. */
const LABEL_START = 6;
const SAMPLE = 20;
const MAX_LABEL = 26;
const LIMIT = 1e100;
/** Least width of an axis beside the size of its values: doubles have room for ticks above it. */
const CLOSEST = 1e-12;
const MARGIN = { top: 50, bottom: 40, left: 50 } as const;

interface Drawn {
  readonly label: string;
  readonly colour: string;
  readonly dash: string;
  readonly bins: readonly Bin[];
  readonly isThinned: boolean;
}

/**
 * A self-contained `<svg>` element: the axes take the text colour around it, lines keep theirs. Points that are not
 * finite or beyond 1e100 (or not positive on a log scale) leave no mark; a series without points is not named.
 */
export function linePlot(plot: LinePlot): string {
  const { width = 480, height = 280 } = plot;
  const drawn = plot.series
    .map((series, index) => draw(series, index, plot))
    .filter(({ bins }) => bins.length > 0);
  const labelled = drawn.filter(({ label }) => label !== '');
  const longest = Math.max(0, ...labelled.map(({ label }) => label.length));
  const marginRight = longest === 0 ? 16 : LABEL_START + SAMPLE + 9 + CHARACTER * longest;
  const scales = {
    x: scaleOf(
      plot.x,
      drawn.flatMap(({ bins }) => bins.map(({ x }) => x)),
    ),
    y: scaleOf(
      plot.y,
      drawn.flatMap(({ bins }) => bins.flatMap(({ low, high }) => [low, high])),
    ),
  };
  const places = labelPlaces(labelled, scales.y, height);
  const svg = drawing({
    width,
    height,
    marginTop: MARGIN.top,
    marginBottom: MARGIN.bottom,
    marginLeft: MARGIN.left,
    marginRight,
    ariaLabel: printable(plot.title),
    x: {
      ...scales.x,
      // Lines end at the frame, where their names are.
      nice: false,
      label: printable(plot.x.label),
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: 5,
      tickFormat: tickText,
    },
    y: { ...scales.y, label: null, grid: true, ticks: 6, tickFormat: tickText },
    marks: [
      headline(plot.title, 4, MARGIN, { fontSize: 13, fontWeight: 'bold' }),
      headline(plot.y.label, 23, MARGIN),
      ...(drawn.length === 0 ? [Plot.text(['no data'], { frameAnchor: 'middle' })] : []),
      ...drawn.flatMap(lineMarks),
      ...labelled.map((line, index) => labelMark(line, places[index] ?? 0)),
    ],
  });
  // A piece of each line before its name: Plot has no mark for pixels.
  labelled.forEach(({ colour, dash }, index) => {
    const [start, at] = [width - marginRight + LABEL_START, places[index] ?? 0];
    svg.add('line', {
      x1: start,
      x2: start + SAMPLE,
      y1: at,
      y2: at,
      stroke: colour,
      'stroke-width': STROKE,
      'stroke-dasharray': dash,
    });
  });
  return svg.toString();
}

function draw(series: LineSeries, index: number, { x, y }: LinePlot): Drawn {
  const points = series.points.filter((point) => fits(x, point[0]) && fits(y, point[1]));
  const bins = thin(points, MAX_POINTS);
  return {
    label: shortened(series.name, MAX_LABEL),
    colour: colourOf(series.colour ?? index),
    dash: dashOf(series.dash ?? index),
    bins,
    isThinned: bins.length < points.length,
  };
}

/** Whether a scale has room for it: differences must not overflow. */
const fits = ({ scale }: Axis, value: number): boolean =>
  Math.abs(value) < LIMIT && (scale !== 'log' || value > 1 / LIMIT);

interface Scale {
  readonly type: 'linear' | 'log';
  readonly domain: readonly [number, number];
  readonly nice: boolean;
}

function scaleOf(axis: Axis, values: readonly number[]): Scale {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of [...values, ...(axis.include ?? [])]) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) [low, high] = [1, 2];
  const type = axis.scale ?? 'linear';
  // A single value gets room on both sides; so do values too close for ticks between them.
  const size = Math.max(Math.abs(low), Math.abs(high));
  const room = size > 1 / LIMIT ? size / 10 : 1;
  const isFlat = high - low <= Math.max(size * CLOSEST, 1 / LIMIT);
  if (type === 'linear' && isFlat) [low, high] = [low - room, high + room];
  if (type === 'log' && low === high) [low, high] = [low / 2, high * 2];
  return { type, domain: [low, high], nice: true };
}

function lineMarks({ bins, colour, dash, isThinned }: Drawn): Plot.Markish[] {
  const band = Plot.areaY(bins, { x: 'x', y1: 'low', y2: 'high', fill: colour, fillOpacity: 0.16 });
  const line = Plot.lineY(bins, {
    x: 'x',
    y: 'y',
    stroke: colour,
    strokeWidth: STROKE,
    strokeDasharray: dash,
    strokeLinejoin: 'round',
    marker: bins.length <= MARKED_POINTS ? 'dot' : 'none',
  });
  return isThinned ? [band, line] : [line];
}

/** Where the names of lines go: at their ends, moved apart where lines end close together. Pixels from the top. */
function labelPlaces(drawn: readonly Drawn[], scale: Scale, height: number): number[] {
  const range = [height - MARGIN.bottom, MARGIN.top] as const;
  const y = Plot.scale({ y: { ...scale, range } });
  const ends = drawn.map(({ bins }) => Number(y.apply(bins.at(-1)?.y)));
  return spread(ends, LABEL_GAP, range[1], range[0]);
}

const labelMark = ({ label, colour }: Drawn, place: number): Plot.Markish =>
  Plot.text([label], {
    frameAnchor: 'top-right',
    textAnchor: 'start',
    lineAnchor: 'middle',
    dx: LABEL_START + SAMPLE + 5,
    dy: place - MARGIN.top,
    fill: colour,
  });
