/** A point of a line: x and y. */
export type Point = readonly [x: number, y: number];

/** What a stretch of a line comes to. */
export interface Bin {
  /** Mean x and mean y of its points. */
  readonly x: number;
  readonly y: number;
  readonly low: number;
  readonly high: number;
}

/**
 * A long line in at most `limit` bins of equally many neighbouring points: a picture a thousand pixels wide shows
 * no more, and a noisy loss becomes a mean within its range. A line of at most `limit` points is left as it is.
 * Points whose y is not finite are left out.
 */
export function thin(points: readonly Point[], limit: number): Bin[] {
  const finite = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const bins = Math.min(limit, finite.length);
  return Array.from({ length: bins }, (_, bin) => {
    const start = Math.floor((bin * finite.length) / bins);
    const end = Math.floor(((bin + 1) * finite.length) / bins);
    let [x, y, low, high] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const [px, py] of finite.slice(start, end)) {
      x += px;
      y += py;
      low = Math.min(low, py);
      high = Math.max(high, py);
    }
    return { x: x / (end - start), y: y / (end - start), low, high };
  });
}
