import { describe, expect, it } from 'vitest';
import { runLanes } from '#tokensieve/parts/lanes.js';

const never = new AbortController().signal;

/** Resources that count how many are open. */
function resources() {
  const count = { opened: 0, closed: 0 };
  const open = async () => {
    count.opened++;
    return { close: async () => void count.closed++ };
  };
  return { count, open };
}

/** Work that goes on until it is told to stop. */
const untilStopped = (signal: AbortSignal): Promise<void> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });

describe('lanes', () => {
  it('do every task once, on no more resources than there are lanes or tasks', async () => {
    const { count, open } = resources();
    const done: number[] = [];
    await runLanes([1, 2, 3, 4, 5], 2, never, open, async (task) => void done.push(task));
    expect(done.toSorted()).toEqual([1, 2, 3, 4, 5]);
    expect(count).toEqual({ opened: 2, closed: 2 });
    await runLanes([1], 8, never, open, async () => undefined);
    expect(count).toEqual({ opened: 3, closed: 3 });
  });

  it('stop at once when one fails, with its error, and close what they opened', async () => {
    const { count, open } = resources();
    const started: string[] = [];
    const run = runLanes(['long', 'fails', 'never'], 2, never, open, async (task, _, signal) => {
      started.push(task);
      if (task === 'fails') throw new Error('disk full');
      await untilStopped(signal);
    });
    await expect(run).rejects.toThrow('disk full');
    expect(started).toEqual(['long', 'fails']);
    expect(count).toEqual({ opened: 2, closed: 2 });
  });

  it('stop when a resource does not open', async () => {
    const { count, open } = resources();
    const run = runLanes(
      ['long', 'other'],
      2,
      never,
      async () => {
        if (count.opened === 1) throw new Error('no session');
        return open();
      },
      (_task, _resource, signal) => untilStopped(signal),
    );
    await expect(run).rejects.toThrow('no session');
    expect(count).toEqual({ opened: 1, closed: 1 });
  });

  it('stop when they are told to', async () => {
    const { count, open } = resources();
    const stop = new AbortController();
    const run = runLanes([1, 2, 3], 2, stop.signal, open, (_task, _resource, signal) => untilStopped(signal));
    setTimeout(() => stop.abort(new Error('stopped')), 10);
    await expect(run).rejects.toThrow('stopped');
    expect(count).toEqual({ opened: 2, closed: 2 });
  });
});
