const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });

/** 1,234,567 */
export const count = (value: number): string => whole.format(value);

/** 1.23M; below ten thousand in full. */
export const brief = (value: number): string =>
  Math.abs(value) < 10_000 ? whole.format(value) : compact.format(value);

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function bytes(value: number): string {
  let unit = 0;
  let left = value;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit++;
  }
  return `${unit === 0 || left >= 100 ? Math.round(left) : left.toFixed(1)} ${UNITS[unit]}`;
}

/** "< 1 s", "12 s", "3 min 05 s", "2 h 10 min", "4 days 3 h". */
export function duration(seconds: number): string {
  const all = Math.max(0, Math.round(seconds));
  if (all === 0 && seconds > 0) return '< 1 s';
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${String(all % 60).padStart(2, '0')} s`;
  if (all < 86_400) return `${Math.floor(all / 3600)} h ${Math.floor((all % 3600) / 60)} min`;
  const days = Math.floor(all / 86_400);
  return `${days} ${days === 1 ? 'day' : 'days'} ${Math.floor((all % 86_400) / 3600)} h`;
}

export const percent = (share: number, digits = 0): string => `${(share * 100).toFixed(digits)}%`;

/** Three decimals with a true minus sign, so that columns of signed numbers line up. */
export const nats = (value: number | null): string =>
  value === null ? '–' : value.toFixed(3).replace(/^-/, '−');

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
});

export const timeOfDay = (iso: string): string => clock.format(new Date(iso));
export const dateAndTime = (iso: string): string => day.format(new Date(iso));
