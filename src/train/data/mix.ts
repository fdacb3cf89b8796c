/**
 * The source of the next row: among those that are behind their share, the one with the largest ratio / (rows + 1);
 * ties go to the earlier. This is the quota method of Balinski and Young ("The quota method of apportionment", 1975):
 * any prefix is within one row of every source's share. Drawing from the largest deficit is not: of 17:17:1:1:3 the second
 * source is 1.03 rows behind after 23.
 * @param ratios above 0 · @param counts rows drawn from each source so far
 */
export function nextSource(ratios: readonly number[], counts: readonly number[]): number {
  const whole = ratios.reduce((sum, ratio) => sum + ratio, 0);
  const rows = 1 + counts.reduce((sum, count) => sum + count, 0);
  let best = -1;
  for (let i = 0; i < ratios.length; i++) {
    const [ratio, count] = [ratios[i] ?? 0, counts[i] ?? 0];
    if (count * whole >= rows * ratio) continue;
    if (best < 0 || ratio * ((counts[best] ?? 0) + 1) > (ratios[best] ?? 0) * (count + 1)) best = i;
  }
  // Rounding may leave no source behind its share where all are on it to the last bit.
  return Math.max(best, 0);
}
