/** Numbers for people: three significant digits and a unit. */

export function count(value: number): string {
  if (!Number.isFinite(value)) return '?';
  for (const [size, unit] of [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const) {
    if (Math.abs(value) >= size) return `${significant(value / (unit === 'k' ? 1e3 : size))}${unit}`;
  }
  return String(Math.round(value));
}

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return '?';
  for (const [size, unit] of [
    [2 ** 40, 'TiB'],
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
    [2 ** 10, 'KiB'],
  ] as const) {
    if (value >= size) return `${significant(value / size)} ${unit}`;
  }
  return `${Math.round(value)} B`;
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '?';
  if (seconds < 60) return `${significant(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 48 * 3600) return `${significant(seconds / 3600)} h`;
  return `${significant(seconds / 86400)} days`;
}

export const percent = (share: number): string => `${significant(share * 100)}%`;

/** Three significant digits without an exponent. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 12));
}

/**
 * Text out of files, made safe to print: control characters, which can drive a terminal, and marks that turn the
 * direction of writing, which can make one name look like another, are spelled out (`\u{1b}`).
 */
export const printable = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Cs}\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );

/** Rows of cells as aligned columns, two spaces between. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
