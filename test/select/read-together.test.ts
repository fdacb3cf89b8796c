import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDataSet } from '#tokensieve/dataset/data-set.js';
import { type PartSource, partSource } from '#tokensieve/dataset/part-source.js';
import { readAll } from '#tokensieve/select/read-all.js';
import { type Patience, readTogether } from '#tokensieve/select/read-together.js';
import { createSelection } from '#tokensieve/select/selection.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { BOS, EOS, writeCorpus } from '../export/support.js';
import { filesBelow } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';

const PARTS = 9;
const patience: Patience = { signMs: 20, silentMs: 300, lookMs: 50 };
const storage = localStorage();
const folder = temporaryFolder();
const run = join(folder, 'run');

const written = writeCorpus(run, {
  parts: Array.from({ length: PARTS }, (_, part) =>
    Array.from({ length: 6 }, (_, i) => 9 + ((part * 3 + i) % 40)),
  ),
  rules: { length: 32, packing: 'packed', attention: 'across', overlap: 1, bosId: BOS, eosId: EOS },
  weight: () => 1,
  kind: 'scored',
});

/** A selection whose cut falls among ties, and its parts; `read` has a line for each reading of one. */
async function opened(read: number[], before: (part: number) => Promise<void> = async () => undefined) {
  await written;
  const settings = selectionSettings.parse({ method: 'reference-loss', scope: 'dataset', keep: 0.37 });
  const { method, plan, scope } = createSelection(settings);
  const nothing = { code: 'nothing', advice: '' };
  const { parts } = await openDataSet(storage, run, { prefer: ['scored'], nothing });
  const sources = parts.map((part): PartSource => {
    const source = partSource(storage, part, null);
    return {
      ...source,
      async *batches() {
        read.push(part.manifest.part);
        await before(part.manifest.part);
        yield* source.batches();
      },
    };
  });
  return { ranked: { method, plan, scope }, sources };
}

const never = new AbortController().signal;

describe('parts that several processes read together', () => {
  it('are each read as often as one process reads them, and give what it gives', async () => {
    const alone: number[] = [];
    const one = await opened(alone);
    const expected = await readAll(one.ranked, one.sources, { keptBytes: 2 ** 26 });
    const read: number[] = [];
    const found = await Promise.all(
      [0, 1, 2].map(async (share) => {
        const { ranked, sources } = await opened(read);
        const own = sources.filter((_, part) => part % 3 === share);
        const order = [...own, ...sources.filter((source) => !own.includes(source)).reverse()];
        const together = { storage, folder: join(folder, 'three'), order, signal: never, patience };
        return readTogether(ranked, sources, together);
      }),
    );
    for (const prepared of found) expect(prepared).toEqual(expected);
    // Twice: the ties are among the counts of the step before.
    expect(alone.length).toBe(2 * PARTS);
    // Two that take a part in the same instant both read it.
    expect(read.length).toBeGreaterThanOrEqual(alone.length);
    expect(read.length).toBeLessThan(1.6 * alone.length);
    expect(filesBelow(join(folder, 'three')).filter((path) => path.endsWith('.taken'))).toEqual([]);
  });

  it('are waited for while another shows life, and read by who waits when it does not', async () => {
    const expected = await opened([]).then(({ ranked, sources }) => readAll(ranked, sources, {}));
    const place = join(folder, 'dead');
    const read: number[] = [];
    let letOn: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      letOn = resolve;
    });
    // One stays at part 4, alive, until it is let on.
    const slow = await opened([], async (part) => (part === 4 ? held : undefined));
    const order = [slow.sources[4], ...slow.sources].filter((one) => one !== undefined);
    const slowly = readTogether(slow.ranked, slow.sources, {
      storage,
      folder: place,
      order,
      signal: never,
      patience,
    });
    // One that died at part 7 has left its mark, which does not change any more.
    const mark = await storage.stage(join(place, '1', '00007.taken'));
    await mark.write(Buffer.from('gone 3\n'));
    await mark.commit();
    const fast = await opened(read);
    let isOver = false;
    const quickly = readTogether(fast.ranked, fast.sources, {
      storage,
      folder: place,
      order: fast.sources,
      signal: never,
      patience,
    }).then((prepared) => {
      isOver = true;
      return prepared;
    });
    while (!read.includes(7)) await new Promise((resolve) => setTimeout(resolve, 10));
    // Many times longer than a silent one is waited for.
    await new Promise((resolve) => setTimeout(resolve, 4 * patience.silentMs));
    expect(isOver).toBe(false);
    expect(read).not.toContain(4);
    letOn();
    expect(await quickly).toEqual(expected);
    expect(await slowly).toEqual(expected);
  });

  it('are read again where what another put down is damaged, and not once more where all of it is there', async () => {
    const { ranked, sources } = await opened([]);
    const place = join(folder, 'again');
    const together = { storage, folder: place, order: sources, signal: never, patience };
    const expected = await readTogether(ranked, sources, together);
    const damaged = await storage.stage(join(place, '1', '00002.counts'));
    await damaged.write(Buffer.from('not counts'));
    await damaged.commit();
    const read: number[] = [];
    const later = await opened(read);
    const again = { ...together, order: later.sources };
    expect(await readTogether(later.ranked, later.sources, again)).toEqual(expected);
    expect(read).toEqual([2]);
    expect(await readTogether(later.ranked, later.sources, again)).toEqual(expected);
    expect(read).toEqual([2]);
  });
});
