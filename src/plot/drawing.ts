/** What every plot here has in common: a document without a browser, fonts, headings, numbers on axes. */
import * as Plot from '@observablehq/plot';
import { DOMParser } from 'linkedom';
import { printable } from './html.js';

const SVG = 'http://www.w3.org/2000/svg';
export const FONT_SIZE = 11;
export const STROKE = 1.75;
/** Mean width of a character, for the room that labels need. */
export const CHARACTER = 6.4;

export const STYLE = {
  fontFamily: 'system-ui, sans-serif',
  fontSize: `${FONT_SIZE}px`,
  background: 'none',
} as const;

/** What Observable Plot makes of the options, as a self-contained `<svg>` element that a page shows as one image. */
export function drawn(options: Plot.PlotOptions): Drawing {
  // An XML document: its text and attributes are escaped as XML wants it, which HTML reads as well.
  const document = new DOMParser().parseFromString(`<svg xmlns="${SVG}"/>`, 'image/svg+xml');
  // Types name the browser's Document; Plot uses what linkedom has of it.
  const svg = Plot.plot({ ...options, document: document as never, style: STYLE });
  const add = (name: string, attributes: Attributes, text = ''): void => {
    const element = document.createElementNS(SVG, name, {});
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    element.textContent = text;
    svg.append(element);
  };
  return {
    add,
    addText: (text, attributes) =>
      add('text', { fill: 'currentColor', 'text-anchor': 'start', ...attributes }, printable(text)),
    toString() {
      svg.setAttribute('xmlns', SVG);
      svg.setAttribute('role', 'img');
      return String(svg.outerHTML);
    },
  };
}

type Attributes = Readonly<Record<string, string | number>>;

export interface Drawing {
  /** Adds an element in pixels, for which Plot has no mark. */
  add(name: string, attributes: Attributes): void;
  addText(text: string, attributes: Attributes): void;
  toString(): string;
}

/** At most `most` characters, the last one an ellipsis where it was longer. */
export const shortened = (text: string, most: number): string => {
  const plain = printable(text);
  return plain.length <= most ? plain : `${plain.slice(0, most - 1)}…`;
};

/** Text above the drawing, `top` pixels from the edge; `margin` is the frame's. */
export const headline = (
  text: string,
  top: number,
  margin: { readonly left: number; readonly top: number },
  font: Plot.TextOptions = {},
): Plot.Markish =>
  Plot.text([printable(text)], {
    frameAnchor: 'top-left',
    dx: 8 - margin.left,
    dy: top - margin.top,
    ...font,
  });

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 });

/** `2.5M`, `1.25`, `3e-4`. */
export function tickText(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e4) return compact.format(value);
  const short = Number(value.toPrecision(6));
  return size > 0 && size < 0.01 ? short.toExponential() : String(short);
}
