import { describe, expect, it } from 'vitest';
import { createClock } from '#tokensieve/service/scoring/clock.js';
import { nextBatch } from '#tokensieve/service/scoring/plan.js';

const BATCH = 1024;
const RULES = { batchTokens: BATCH, length: 1024 };

interface Row {
  readonly turn: number;
  readonly order: number;
  readonly length: number;
  readonly request: number;
  readonly alone: boolean;
  readonly first: boolean;
}

/** A lane without models: what is begun, batch by batch. */
function lane() {
  const clock = createClock(8 * BATCH);
  const open = new Map<number, number>();
  let waiting: Row[] = [];
  let order = 0;
  let requests = 0;
  return {
    open: () => open.size,
    ask(rows: number, length: number): number {
      const request = requests++;
      let turn = clock.turn(waiting.filter(({ first }) => !first).map((row) => row.turn));
      for (let row = 0; row < rows; row++) {
        waiting.push({ turn, order: order++, length, request, alone: false, first: row === 0 });
        turn += length;
      }
      open.set(request, rows);
      return request;
    },
    /** Runs a batch; the requests in it. */
    batch(): number[] {
      const rows = nextBatch(waiting, RULES);
      waiting = waiting.filter((row) => !rows.includes(row));
      clock.began(
        rows.reduce((sum, { length }) => sum + length, 0),
        open.size,
      );
      for (const { request } of rows) {
        const left = (open.get(request) ?? 0) - 1;
        if (left === 0) open.delete(request);
        else open.set(request, left);
      }
      return rows.map(({ request }) => request);
    },
  };
}

describe('turns', () => {
  it.each([1, 2, 8, 50])('a short request is next, behind %i large ones at work', (large) => {
    const { ask, batch } = lane();
    for (let i = 0; i < large; i++) ask(60, 512);
    for (let i = 0; i < 3 * large; i++) batch();
    for (let i = 0; i < 20; i++) {
      const small = ask(1, 11);
      expect(batch()).toContain(small);
      batch();
    }
  });

  it('short requests among themselves go in the order they came', () => {
    const { ask, batch } = lane();
    ask(60, 512);
    batch();
    const all = Array.from({ length: 300 }, () => ask(1, 11));
    const served: number[] = [];
    while (served.length < all.length) served.push(...batch().filter((one) => all.includes(one)));
    expect(served).toEqual(all);
  });

  it('no flood of short requests keeps a large one from its end', () => {
    const { ask, batch, open } = lane();
    const large = ask(40, 512);
    let done = 0;
    let batches = 0;
    // As many short ones with every batch as a batch takes: some twenty always wait, each with its own share.
    for (; done < 40; batches++) {
      while (open() < 21) ask(1, 11);
      done += batch().filter((one) => one === large).length;
      expect(batches).toBeLessThan(5000);
    }
    // It was shared with: alone it takes twenty.
    expect(batches).toBeGreaterThan(200);
  });
});
