import { afterEach, describe, expect, it, vi } from 'vitest';
import { untilInterrupted, withInterrupt } from '#tokensieve/cli/exit.js';
import { fatalError } from '#tokensieve/errors.js';

describe('the exit code', () => {
  const before = process.exitCode;
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const told = (): string => stderr.mock.calls.map(([text]) => String(text)).join('');
  afterEach(() => {
    process.exitCode = before;
    stderr.mockClear();
  });

  it('is 130 for a body that stops because it was told to', async () => {
    await withInterrupt(async (signal) => {
      process.emit('SIGINT');
      signal.throwIfAborted();
      return 0;
    });
    expect(process.exitCode).toBe(130);
    expect(told()).toMatch(/^\ntokensieve: stopping; [^\n]*\n$/);
  });

  it('is 1, with the reason, for a body that fails while it stops', async () => {
    await withInterrupt(async () => {
      process.emit('SIGINT');
      throw fatalError('disk-full', 'out/x: no space left to write (ENOSPC)');
    });
    expect(process.exitCode).toBe(1);
    expect(told()).toContain('tokensieve: out/x: no space left to write (ENOSPC)\n');
  });

  it('is the system’s own for commands that leave nothing half done', async () => {
    const counts = () => ['SIGINT', 'SIGTERM'].map((name) => process.listenerCount(name));
    const outside = counts();
    await withInterrupt(async () => {
      expect(counts()).toEqual(outside.map((count) => count + 1));
      return 0;
    });
    await untilInterrupted(async () => {
      expect(counts()).toEqual(outside);
      return 3;
    });
    expect(process.exitCode).toBe(3);
    expect(counts()).toEqual(outside);
  });
});
