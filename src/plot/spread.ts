/**
 * Moves positions as little as needed so that neighbours are `gap` apart within [low, high]: labels at the ends of
 * lines that end close together. Order is kept; where there is no room for all, they are spread evenly.
 */
export function spread(positions: readonly number[], gap: number, low: number, high: number): number[] {
  const step = Math.min(gap, (high - low) / Math.max(1, positions.length - 1));
  const order = positions
    .map((_, index) => index)
    .sort((a, b) => at(positions, a) - at(positions, b) || a - b);
  const placed = [...positions];
  order.forEach((index, rank) => {
    const before = order[rank - 1];
    placed[index] = Math.max(at(placed, index), before === undefined ? low : at(placed, before) + step);
  });
  order.reverse().forEach((index, rank) => {
    const after = order[rank - 1];
    placed[index] = Math.min(at(placed, index), after === undefined ? high : at(placed, after) - step);
  });
  return placed;
}

const at = (values: readonly number[], index: number): number => values[index] ?? 0;
