/** `−0.40`, `0.003`: two digits that say something. */
export function nats(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 0.1 || size === 0 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(size)));
  return `${value < 0 ? '−' : ''}${size.toFixed(digits)}`;
}

/** `58.8%`; never 0% or 100% of what is not. */
export function percent(part: number): string {
  const rounded = Number((100 * part).toFixed(1));
  if (part > 0 && rounded === 0) return 'under 0.1%';
  return part < 1 && rounded === 100 ? 'over 99.9%' : `${rounded}%`;
}

/** A share as a setting is written, rounded down: `0.41`. */
export function share(part: number): string {
  const digits = part >= 0.1 ? 2 : 4;
  return String(Math.max(10 ** -digits, Math.floor(part * 10 ** digits) / 10 ** digits));
}
