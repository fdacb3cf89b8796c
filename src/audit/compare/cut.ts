/** Where a selection cuts, read back from what it kept. */

/** Bins of 1/64 nat over [−16, 16); what lies outside goes into the first or the last one. */
const BINS = 2048;
const LOWEST = -16;
/** Share of tokens on the wrong side from which on a selection has no cut. */
const MOST_WRONG = 0.1;
const PER_NAT = 64;

/**
 * Finds the excess at which a selection changes from dropping to keeping: the edge with the fewest tokens on the
 * wrong side (dropped above it or kept below it), the middle one where several do as well. Selections of another
 * scope than the part, whose cut moves, have a few on the wrong side; those that go by something else have many, and no
 * cut.
 */
export function createCut() {
  const kept = new Float64Array(BINS);
  const dropped = new Float64Array(BINS);
  return {
    /** @param excess in nats, not NaN */
    add(excess: number, isKept: boolean): void {
      const bin = Math.max(0, Math.min(BINS - 1, Math.floor((excess - LOWEST) * PER_NAT)));
      const counts = isKept ? kept : dropped;
      counts[bin] = (counts[bin] as number) + 1;
    },
    /** In nats; null where nothing was kept or nothing dropped, or where excess does not tell the two apart. */
    result(): number | null {
      const tokensKept = kept.reduce((sum, n) => sum + n, 0);
      const tokensDropped = dropped.reduce((sum, n) => sum + n, 0);
      if (tokensKept === 0 || tokensDropped === 0) return null;
      let wrong = tokensDropped; // at the lowest edge, above which is everything
      let [least, first, last] = [wrong, 0, 0];
      for (let edge = 1; edge <= BINS; edge++) {
        wrong += (kept[edge - 1] as number) - (dropped[edge - 1] as number);
        if (wrong < least) [least, first, last] = [wrong, edge, edge];
        else if (wrong === least && edge === last + 1) last = edge;
      }
      if (least > MOST_WRONG * (tokensKept + tokensDropped)) return null;
      return LOWEST + (first + last) / 2 / PER_NAT;
    },
  };
}
