/** Shares by group as horizontal bars, each with its name and what it amounts to in words; one SVG string. */
import * as Plot from '@observablehq/plot';
import { CHARACTER, drawn, headline, shortened } from './drawing.js';
import { printable } from './html.js';
import { colourOf } from './style.js';

export interface Bar {
  readonly name: string;
  /** From 0 to 1; null where there is nothing to take a share of. */
  readonly share: number | null;
  /** Beside the bar: the share and what it is of. */
  readonly text: string;
}

export interface BarPlot {
  readonly title: string;
  /** What the length of a bar is. */
  readonly label: string;
  readonly bars: readonly Bar[];
  /** The share of all groups together, drawn as a line across. */
  readonly mark?: { readonly share: number; readonly text: string };
}

const WIDTH = 400;
const ROW = 19;
const MARGIN = { top: 58, bottom: 6 } as const;
const MAX_NAME = 22;
const MAX_TEXT = 20;
const NAME_GAP = 8;

/** A self-contained `<svg>` as high as its bars need. */
export function barPlot({ title, label, bars, mark }: BarPlot): string {
  const rows = bars.map(({ name, share, text }, row) => ({
    row,
    name: shortened(name, MAX_NAME),
    share: share === null || !Number.isFinite(share) ? 0 : Math.min(1, Math.max(0, share)),
    text: shortened(text, MAX_TEXT),
  }));
  const longest = (texts: readonly string[]): number => Math.max(4, ...texts.map((text) => text.length));
  const left = NAME_GAP + CHARACTER * longest(rows.map(({ name }) => name)) + 8;
  const right = CHARACTER * longest(rows.map(({ text }) => text)) + 8;
  const top = { left, top: MARGIN.top };
  const svg = drawn({
    width: WIDTH,
    height: MARGIN.top + MARGIN.bottom + ROW * Math.max(1, rows.length),
    marginTop: MARGIN.top,
    marginBottom: MARGIN.bottom,
    marginLeft: left,
    marginRight: right,
    ariaLabel: printable(title),
    x: { domain: [0, 1], axis: null },
    y: { domain: rows.map(({ row }) => row), type: 'band', axis: null, padding: 0.25 },
    marks: [
      headline(title, 4, top, { fontSize: 13, fontWeight: 'bold' }),
      headline(label, 23, top),
      ...(rows.length === 0 ? [Plot.text(['no data'], { frameAnchor: 'middle' })] : []),
      Plot.barX(rows, { x1: 0, x2: 1, y: 'row', fill: 'currentColor', fillOpacity: 0.07 }),
      Plot.barX(rows, { x1: 0, x2: 'share', y: 'row', fill: colourOf(0), fillOpacity: 0.85 }),
      Plot.text(rows, { x: 0, y: 'row', text: 'name', textAnchor: 'end', dx: -NAME_GAP }),
      Plot.text(rows, { x: 1, y: 'row', text: 'text', textAnchor: 'start', dx: NAME_GAP }),
      ...(mark === undefined || rows.length === 0
        ? []
        : [
            Plot.ruleX([mark.share], { strokeDasharray: '3 2', strokeWidth: 1.25 }),
            Plot.text([printable(mark.text)], {
              x: mark.share,
              frameAnchor: 'top',
              lineAnchor: 'bottom',
              dy: -3,
            }),
          ]),
    ],
  });
  return svg.toString();
}
