import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { mapAhead } from '#tokensieve/flow/map-ahead.js';

async function* count(n: number, pulled: number[] = []): AsyncGenerator<number> {
  for (let i = 0; i < n; i++) {
    pulled.push(i);
    yield i;
  }
}

describe('mapAhead', () => {
  it('keeps the order of the input while calls overlap', async () => {
    let flying = 0;
    let most = 0;
    const results: number[] = [];
    const mapped = mapAhead(count(20), 4, async (i) => {
      most = Math.max(most, ++flying);
      await wait((i * 7) % 5);
      flying--;
      return i * 10;
    });
    for await (const result of mapped) results.push(result);
    expect(results).toEqual(Array.from({ length: 20 }, (_, i) => i * 10));
    expect(most).toBe(4);
  });

  it('pulls no further ahead than asked', async () => {
    const pulled: number[] = [];
    const mapped = mapAhead(count(100, pulled), 3, async (i) => i);
    await mapped.next();
    await mapped.next();
    expect(pulled.length).toBeLessThanOrEqual(5);
    await mapped.return(undefined);
  });

  it('an error arrives in its place, after the calls in flight have ended, and closes the source', async () => {
    let closed = false;
    let ended = 0;
    async function* source(): AsyncGenerator<number> {
      try {
        yield* count(10);
      } finally {
        closed = true;
      }
    }
    const seen: number[] = [];
    const drain = async (): Promise<void> => {
      const mapped = mapAhead(source(), 4, async (i) => {
        await wait(i === 2 ? 0 : 5);
        ended++;
        if (i === 2) throw new Error('two');
        return i;
      });
      for await (const i of mapped) seen.push(i);
    };
    await expect(drain()).rejects.toThrow('two');
    expect(seen).toEqual([0, 1]);
    expect(closed).toBe(true);
    expect(ended).toBeGreaterThanOrEqual(4);
  });
});
