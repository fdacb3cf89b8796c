/** Consecutive texts in groups of at least `units` UTF-16 units, the last one smaller. Order is kept. */
export function chunksOf(texts: readonly string[], units: number): string[][] {
  const chunks: string[][] = [];
  let room = 0;
  for (const text of texts) {
    if (room <= 0) {
      chunks.push([]);
      room = units;
    }
    chunks.at(-1)?.push(text);
    room -= text.length + 1;
  }
  return chunks;
}
