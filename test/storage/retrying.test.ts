import { describe, expect, it } from 'vitest';
import { inputError, TokensieveError } from '#tokensieve/errors.js';
import { retryingReads } from '#tokensieve/storage/retrying.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { memoryStorage } from '../corpus/memory-storage.js';

const bytes = new Uint8Array([1, 2, 3, 4]);

/** A storage whose reads fail a number of times first; `calls` counts all of them. */
function failing(times: number, error: TokensieveError): Storage & { calls: number } {
  const inner = memoryStorage({ a: bytes });
  return {
    ...inner,
    calls: 0,
    async readRange(path, start, end) {
      if (this.calls++ < times) throw error;
      return inner.readRange(path, start, end);
    },
  };
}

const passing = new TokensieveError('retry', 'io', 'a: could not read (EIO). Try again.');

describe('reads that are retried', () => {
  it('succeed after two passing failures, and wait longer each time', async () => {
    const storage = failing(2, passing);
    const started = performance.now();
    expect(await retryingReads(storage, [20, 60, 1000]).readRange('a', 1, 3)).toEqual(bytes.slice(1, 3));
    const waited = performance.now() - started;
    expect(storage.calls).toBe(3);
    // Timers may fire up to a millisecond early.
    expect(waited).toBeGreaterThanOrEqual(78);
    expect(waited).toBeLessThan(1000);
  });

  it('give up after the last wait with the error itself', async () => {
    const storage = failing(9, passing);
    await expect(retryingReads(storage, [1, 1, 1]).readRange('a', 0, 1)).rejects.toBe(passing);
    expect(storage.calls).toBe(4);
  });

  it('are not repeated when the input itself is at fault', async () => {
    const broken = inputError('short-read', 'a: bytes [0, 9) asked for, the file has 4.');
    const storage = failing(9, broken);
    await expect(retryingReads(storage, [1, 1, 1]).readRange('a', 0, 9)).rejects.toBe(broken);
    expect(storage.calls).toBe(1);
  });
});
