/** Numbers and names as the page writes them. */
import { visible } from './browser/tokens.js';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });

/** `1,234,567`. */
export const count = (value: number): string => whole.format(value);
/** `1.23M`. */
export const about = (value: number): string =>
  value < 10_000 ? whole.format(value) : compact.format(value);

/** `61.2%`; `–` where there is nothing to take a share of. */
export function share(part: number | null, of = 1): string {
  if (part === null || of === 0) return '–';
  const percent = (100 * part) / of;
  if (percent === 0 || percent === 100) return `${percent}%`;
  const digits = percent < 0.095 || percent > 99.95 ? 2 : 1;
  const rounded = percent.toFixed(digits);
  // Never a flat 0 or 100 for what is not.
  if (Number(rounded) === 0) return 'under 0.01%';
  return Number(rounded) === 100 ? 'over 99.99%' : `${rounded}%`;
}

/** `1.23`, `−0.40`; `+` before what is above 0 where the sign matters. */
export function nats(value: number | null, signed = false): string {
  if (value === null || !Number.isFinite(value)) return '–';
  const text = Math.abs(value).toFixed(2);
  if (Number(text) === 0) return '0.00';
  return `${value < 0 ? '−' : signed ? '+' : ''}${text}`;
}

/** `1.2 GB`. */
export function bytes(value: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let [size, unit] = [value, 0];
  while (size >= 1000 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return unit === 0 ? `${count(size)} bytes` : `${size.toPrecision(3)} ${units[unit]}`;
}

/** `1.5 × 10^12`. */
export function power(value: number): string {
  if (value < 1e6) return count(value);
  const [digits, exponent] = value.toExponential(1).split('e+');
  return `${digits} × 10^${exponent}`;
}

/** Text cut to a number of UTF-16 units, at its end or its beginning; never through a character. */
export function clipped(text: string, most: number, side: 'end' | 'start' = 'end'): string {
  if (text.length <= most) return text;
  const [from, to] = side === 'end' ? [0, most - 1] : [text.length - most + 1, text.length];
  const kept = text.slice(from, to).replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, '');
  return side === 'end' ? `${kept}…` : `…${kept}`;
}

/** A name from the data on one line: nothing in it hides, breaks the line or turns the writing direction. */
export const plain = (text: string, most: number): string =>
  clipped(visible(text.slice(0, 4 * most)).replace(/␣/g, ' '), most);

/** A token with its white space shown. */
export const token = (text: string): string => clipped(visible(text.slice(0, 200)), 40);

/** What stands around a token: on one line, line ends shown. */
export const context = (text: string, most: number, side: 'end' | 'start'): string =>
  clipped(visible(text).replace(/␣/g, ' '), most, side);
