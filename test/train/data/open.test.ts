import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DataPosition, StepBatch } from '#tokensieve/train/batch.js';
import { openTrainingData, startOf } from '#tokensieve/train/data/open.js';
import { temporaryFolder } from '../../support/quickstart.js';
import { type FolderOptions, idOf, LENGTH, storage, writeFolder } from './folders.js';

const root = temporaryFolder();
let folders = 0;
const write = (parts: readonly (readonly number[])[], options?: FolderOptions): Promise<string> =>
  writeFolder(join(root, String(folders++)), parts, options);

/** Five parts, 24 rows. */
const PARTS = [
  [8, 8, 8, 5],
  [8, 8],
  [8, 3, 8, 8, 8, 8],
  [8, 8, 8, 8, 8, 8, 7, 2],
  [8, 8, 8, 4],
];

const open = (
  sources: readonly (string | { path: string; ratio: number })[],
  { seed = 1, shuffle = 64, rows = 3, accumulate = 1, store = storage } = {},
) =>
  openTrainingData(
    store,
    {
      sources: sources.map((source) => (typeof source === 'string' ? { path: source, ratio: 1 } : source)),
      seed,
      shuffle_tokens: shuffle,
    },
    { rows, accumulate },
  );

type Data = Awaited<ReturnType<typeof open>>;

async function take(data: Data, steps: number, from: DataPosition = startOf(data.description)) {
  const taken: { batch: StepBatch; position: DataPosition }[] = [];
  for await (const step of data.steps(from)) {
    taken.push(step);
    if (taken.length === steps) break;
  }
  return taken;
}

const places = (steps: readonly { batch: StepBatch }[]): string[] =>
  steps.flatMap(({ batch }) =>
    batch.origins.map(({ source, part, sequenceId }) => `${source} ${part} ${sequenceId}`),
  );

describe('training data', () => {
  it('is rows as the files have them, padded, with targets, losses, weights and origins', async () => {
    const folder = await write(PARTS, {
      kind: 'weighted',
      columns: ['reference_loss', 'current_loss', 'weight'],
    });
    const data = await open([folder], { rows: 2, accumulate: 3 });
    expect(data.description).toMatchObject({
      length: LENGTH,
      attention: 'across',
      tokenizerHash: 'a'.repeat(64),
      hasReferenceLoss: true,
      hasWeights: true,
      normaliser: 'sum-of-weights',
      sources: [{ path: folder, ratio: 1, rows: 24, tokens: PARTS.flat().reduce((a, b) => a + b, 0) }],
    });
    expect(data.description.sources[0]!.targets).toBe(data.description.sources[0]!.tokens - 24);
    for (const { batch } of await take(data, 4)) {
      expect(batch.ids.length).toBe(6 * LENGTH);
      expect(batch.positions).toBeUndefined();
      batch.origins.forEach(({ source, shard, part, sequenceId, documents }, at) => {
        const row = Number(sequenceId);
        const length = PARTS[part]![row]!;
        expect([source, shard]).toEqual([folder, 'web/x.parquet']);
        expect(documents).toEqual([sequenceId, length > 3 ? sequenceId + 1n : sequenceId]);
        for (let t = 0; t < LENGTH; t++) {
          const i = at * LENGTH + t;
          const target = t > 0 && t < length;
          expect(batch.ids[i]).toBe(t < length ? idOf(part, row, t) : 0);
          expect(batch.eligible[i]).toBe(target ? 1 : 0);
          expect(batch.referenceLoss![i]).toEqual(target ? (row + t) / 4 : Number.NaN);
          // Weight 0 of a weighted file is a token that was not kept, and a target all the same.
          expect(batch.weight![i]).toBe(target && (row + t) % 3 !== 0 ? 1 : 0);
        }
      });
    }
  });

  it('takes targets of packed files from their weights, those of files of one model from its losses', async () => {
    const [packed, current] = [
      await write(PARTS, { kind: 'packed' }),
      await write(PARTS, { columns: ['current_loss'] }),
    ];
    const [a, b] = [await open([packed]), await open([current])];
    expect(a.description).toMatchObject({ hasReferenceLoss: false, hasWeights: true });
    expect(b.description).toMatchObject({ hasReferenceLoss: false, hasWeights: false });
    expect(a.description.sources[0]!.targets).toBe(b.description.sources[0]!.targets);
    const [[x], [y]] = [await take(a, 1), await take(b, 1)];
    expect(x!.batch.eligible).toEqual(y!.batch.eligible);
    expect(x!.batch.weight).toEqual(x!.batch.eligible);
    expect(y!.batch).toMatchObject({ weight: null, referenceLoss: null });
  });

  it('within documents: positions restart, documents are numbered, padding is a run of its own', async () => {
    const folder = await write([[8, 5]], { sequence: { attention: 'within' } });
    const data = await open([folder], { shuffle: 0, rows: 2 });
    const [first] = await take(data, 1);
    expect([...first!.batch.positions!]).toEqual([0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 0, 0, 0]);
    expect([...first!.batch.documents!]).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 2, 2, 2]);
  });

  it.each([0, 20, 64, 1 << 20])(
    'shuffled among %i tokens, visits every row once an epoch, and resumes at any position',
    async (shuffle) => {
      const folder = await write(PARTS);
      const data = await open([folder], { shuffle });
      const steps = await take(data, 20);
      const all = places(steps);
      const epochs = [all.slice(0, 24), all.slice(24, 48)];
      for (const epoch of epochs) expect(new Set(epoch).size).toBe(24);
      expect(epochs[0]!.join() === epochs[1]!.join()).toBe(shuffle === 0);
      if (shuffle === 0) expect(epochs[0]).toEqual([...epochs[0]!].sort());
      for (let at = 0; at + 3 <= steps.length; at++) {
        const from = at === 0 ? startOf(data.description) : steps[at - 1]!.position;
        expect(await take(await open([folder], { shuffle }), 3, from)).toEqual(steps.slice(at, at + 3));
      }
    },
  );

  it('mixes sources by ratio, each in the order it has alone, and resumes in the midst', async () => {
    const [a, b] = [
      await write(PARTS),
      await write([
        [8, 8, 8],
        [8, 8],
      ]),
    ];
    const sources = [
      { path: a, ratio: 3 },
      { path: b, ratio: 1 },
    ];
    const data = await open(sources, { shuffle: 128 });
    const steps = await take(data, 16);
    for (const { position } of steps) {
      expect(position.sources[0]! + position.sources[1]!).toBe(position.rows);
      expect(Math.abs(position.sources[1]! - position.rows / 4)).toBeLessThan(1);
    }
    const all = places(steps);
    expect(all.filter((place) => place.startsWith(`${a} `)).slice(0, 24)).toEqual(
      places(await take(await open([a], { shuffle: 64 }), 8)),
    );
    expect(new Set(all.filter((place) => place.startsWith(`${b} `)).slice(0, 5)).size).toBe(5);
    for (let at = 1; at < steps.length; at++) {
      expect(await take(await open(sources, { shuffle: 128 }), 1, steps[at - 1]!.position)).toEqual([
        steps[at],
      ]);
    }
  });

  it('losses and weights count only where every source has them', async () => {
    const [scored, weighted, packed] = [
      await write(PARTS),
      await write(PARTS, { kind: 'weighted', columns: ['reference_loss', 'weight'] }),
      await write(PARTS, { kind: 'packed' }),
    ];
    const has = async (...sources: string[]) => {
      const data = await open(sources);
      const [step] = await take(data, 1);
      expect(step!.batch.referenceLoss !== null).toBe(data.description.hasReferenceLoss);
      expect(step!.batch.weight !== null).toBe(data.description.hasWeights);
      return [data.description.hasReferenceLoss, data.description.hasWeights];
    };
    expect(await has(scored, weighted)).toEqual([true, false]);
    expect(await has(weighted, packed)).toEqual([false, true]);
    expect(await has(scored, packed)).toEqual([false, false]);
  });

  it('the hash follows the files, not where they lie', async () => {
    const one = await open([await write(PARTS)]);
    const same = await open([await write(PARTS)]);
    const other = await open([await write(PARTS.slice(1))]);
    expect(same.description.hash).toBe(one.description.hash);
    expect(other.description.hash).not.toBe(one.description.hash);
  });
});

describe('what is read', () => {
  /** Storage that notes which parts' rows are read. */
  function counting() {
    const read: number[] = [];
    const readRange: typeof storage.readRange = (path, start, end) => {
      const part = /(\d{5})\.arrow$/.exec(path)?.[1];
      // Opening a file reads its first 16 bytes, once.
      if (part !== undefined && start === 0 && end === 16) read.push(Number(part));
      return storage.readRange(path, start, end);
    };
    return { read, store: { ...storage, readRange } };
  }

  it('is one window ahead, and after a resume nothing of what came before', async () => {
    const folder = await write(Array.from({ length: 12 }, () => [8, 8, 8, 8]));
    // Windows of two parts, 8 rows each.
    const options = { shuffle: 64, rows: 4 };
    const order = places(await take(await open([folder], options), 12)).map((place) => place.split(' ')[1]);
    const window = (i: number) => [...new Set(order.slice(i * 8, i * 8 + 8))].map(Number).sort();

    const { read, store } = counting();
    const data = await open([folder], { ...options, store });
    expect(read.splice(0)).toEqual([0]);
    await take(data, 1);
    expect(read.splice(0).sort()).toEqual([...window(0), ...window(1)].sort());

    // In the midst of the third window.
    await take(data, 1, { rows: 20, sources: [20] });
    expect(read.splice(0).sort()).toEqual([...window(2), ...window(3)].sort());
  });

  it('is read once where one window holds everything', async () => {
    const folder = await write(PARTS);
    const { read, store } = counting();
    const data = await open([folder], { shuffle: 1 << 20, store });
    read.splice(0);
    await take(data, 40);
    expect(read.sort()).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('folders that are refused', () => {
  const refused = async (sources: readonly string[], code: string, message: RegExp, reach = 'usage') => {
    const failure = expect(open(sources)).rejects;
    await failure.toMatchObject({ code, reach, message: expect.stringMatching(message) });
  };

  it('hold no parts, or several data sets; a run of one is taken', async () => {
    const run = join(root, 'run');
    await refused([run], 'no-parts', /run: no finished parts/);
    await writeFolder(join(run, 'scored'), PARTS);
    expect((await open([run])).description.hash).toBe((await open([join(run, 'scored')])).description.hash);
    expect((await open([join(run, 'scored/web/x.parquet')])).description.sources[0]!.rows).toBe(24);
    await writeFolder(join(run, 'weighted'), PARTS, {
      kind: 'weighted',
      columns: ['reference_loss', 'weight'],
    });
    // Of several the newest: weights say more than losses alone.
    expect((await open([run])).description).toMatchObject({ hasWeights: true });
    expect((await open([join(run, 'scored')])).description).toMatchObject({ hasWeights: false });
  });

  it('were tokenized or packed differently', async () => {
    const plain = await write(PARTS);
    const make = (options: FolderOptions) => write(PARTS, options);
    const folders = `${plain} and .*`;
    const hash = await make({ tokenizer: { hash: 'b'.repeat(64) } });
    await refused(
      [plain, hash],
      'tokenizers-differ',
      new RegExp(`^${folders}\\(tokenizer.hash: "aaaa.*bbbb`),
    );
    const bos = await make({ sequence: { bos: false } });
    await refused([plain, bos], 'tokenizers-differ', new RegExp(`^${folders}\\(tokenizer.bos: 1 → null\\)`));
    const within = await make({ sequence: { attention: 'within' } });
    await refused(
      [plain, within],
      'sources-differ',
      new RegExp(`^${folders}\\(attention: "across" → "within"`),
    );
    const weighted = { kind: 'weighted', columns: ['reference_loss', 'weight'] } as const;
    const dft = await make({ ...weighted, normaliser: 'eligible-tokens' });
    expect((await open([dft])).description.normaliser).toBe('eligible-tokens');
    await refused([await make(weighted), dft], 'sources-differ', /normaliser: "sum-of-weights" → "eligible/);
  });

  it('lack files or tell nothing of their rows', async () => {
    const file = (folder: string, suffix: string) => join(folder, `web/x.parquet/00002.${suffix}`);
    const gone = await write(PARTS);
    rmSync(file(gone, 'arrow'));
    await refused([gone], 'not-found', /00002\.arrow/);
    const cut = await write(PARTS);
    truncateSync(file(cut, 'arrow'), 1000);
    await refused([cut], 'part-changed', /00002\.arrow: has 1000 bytes, its manifest says \d+/);
    const broken = await write(PARTS);
    writeFileSync(file(broken, 'manifest.json'), '{"version": 1}');
    await refused([broken], 'bad-manifest', /00002\.manifest\.json: field/);
    const unknown = await write(PARTS, { tokenizer: { hash: undefined } });
    await refused([unknown], 'not-trainable', /recipe\.scored\.tokenizer\.hash/);
    await refused([await write([[], []])], 'no-rows', /its parts have no rows/);
    await refused([await write([[1], [1, 1]])], 'no-targets', /none of its 3 rows has a target/);
  });

  it('are not what their manifests say: the error names file and row when the part is read', async () => {
    const count = (by: number) => (manifest: { counts: { sequences: number } }) =>
      ({ ...manifest, counts: { ...manifest.counts, sequences: manifest.counts.sequences + by } }) as never;
    const reading = async (options: FolderOptions) =>
      take(await open([await write([[8, 8, 8]], options)]), 1);
    await expect(reading({ manifest: count(1) })).rejects.toThrow(
      /00000\.arrow: has 3 rows, its manifest says 4/,
    );
    await expect(reading({ manifest: count(-1) })).rejects.toThrow(
      /00000\.arrow: has more than 2 rows, its manifest says 2/,
    );
    await expect(reading({ sequence: { length: 7 } })).rejects.toThrow(/row 0 has 8 ids; expected 1 to 7/);
    await expect(
      reading({ rows: (rows) => rows.map((row) => ({ ...row, ids: row.ids.map((id) => -id) })) }),
    ).rejects.toThrow(/00000\.arrow: row 0, position 1: token id -1 is negative/);
    await expect(
      reading({ rows: (rows) => rows.map((row) => ({ ...row, segments: row.segments.slice(1) })) }),
    ).rejects.toThrow(/row 0: its segments cover 5 of 8 ids/);
  });

  it('have flipped bits: found when the part has been read', async () => {
    const folder = await write([[8, 8, 8]]);
    const path = join(folder, 'web/x.parquet/00000.arrow');
    const bytes = readFileSync(path);
    const id = (await take(await open([folder]), 1))[0]?.batch.ids[1] ?? -1;
    // The lowest bit of the first row's second id, which is a token like any other.
    const at = bytes.indexOf(Buffer.from(Int32Array.of(id).buffer));
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    await expect(take(await open([folder]), 1)).rejects.toMatchObject({
      code: 'part-damaged',
      message: expect.stringContaining(path),
    });
  });

  it('changed while they were open: another run’s data under the manifest', async () => {
    const folder = await write([[8, 8, 8]]);
    const other = await write([[8, 8, 8]], { tokenizer: { hash: 'c'.repeat(64) } });
    const data = await open([folder]);
    const file = 'web/x.parquet/00000.arrow';
    writeFileSync(join(folder, file), readFileSync(join(other, file)));
    await expect(take(data, 1)).rejects.toMatchObject({ code: 'part-changed' });
  });

  it('a position of other sources is none', async () => {
    const data = await open([await write(PARTS)]);
    for (const position of [
      { rows: 1, sources: [0] },
      { rows: 2, sources: [1, 1] },
      { rows: -1, sources: [-1] },
    ]) {
      await expect(take(data, 1, position)).rejects.toMatchObject({ code: 'bad-position', reach: 'usage' });
    }
  });
});
