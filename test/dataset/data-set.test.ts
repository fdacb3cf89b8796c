import { cpSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { columnsOf, type DataSetKind, type OpenRules, openDataSet } from '#tokensieve/dataset/data-set.js';
import type { Manifest } from '#tokensieve/dataset/manifest.js';
import { findSource, openSource } from '#tokensieve/dataset/source.js';
import { unfinishedRun } from '#tokensieve/parts/unfinished.js';
import { parseStages } from '#tokensieve/pipeline/stages.js';
import { gatherFacts } from '#tokensieve/plan/stage-facts.js';
import { temporaryFolder } from '../support/quickstart.js';
import { writeFolder } from '../train/data/folders.js';
import { type PartOptions, storage, writePart } from './runs.js';

const root = temporaryFolder();
let folders = 0;
const fresh = (): string => join(root, String(folders++));

const nothing = { code: 'nothing-here', advice: 'name something else' };
const open = (name: string, prefer: readonly DataSetKind[] = [], rules: Partial<OpenRules> = {}) =>
  openDataSet(storage, name, { prefer, nothing, ...rules });

const ALL = ['weighted', 'scored', 'packed'] as const;
const COLUMNS = {
  scored: ['reference_loss', 'current_loss'],
  weighted: ['reference_loss', 'current_loss', 'weight'],
  packed: ['weight'],
} as const;

const withRecipe =
  (recipe: Manifest['recipe'], kind?: DataSetKind) =>
  (manifest: Manifest): Manifest => ({ ...manifest, recipe, ...(kind !== undefined && { kind }) });

/** A run's output folder with one part of each of the kinds. */
async function writeRun(kinds: readonly DataSetKind[], options: PartOptions = {}): Promise<string> {
  const run = fresh();
  for (const kind of kinds) {
    await writePart(join(run, kind), {
      columns: COLUMNS[kind],
      manifest: (manifest) => ({ ...manifest, kind }),
      ...options,
    });
  }
  return run;
}

describe('a data set', () => {
  it('is what its manifests say, whatever of it is named', async () => {
    for (const kind of ALL) {
      const run = await writeRun([kind]);
      const folder = join(run, kind);
      for (const name of [run, folder]) {
        const set = await open(name, ALL);
        expect(set).toMatchObject({ name, folder, run, kind, isImported: false, unfinished: [] });
        expect(set.recipe.rows.sequence).toEqual({ length: 8 });
        expect(set.recipe.json).toEqual({ sequence: { length: 8 } });
        expect(await columnsOf(storage, set)).toEqual(COLUMNS[kind]);
        expect(set.parts).toMatchObject([
          { file: join(folder, 'a/x.parquet/00000.arrow'), rows: 3, tokens: 24 },
        ]);
      }
    }
  });

  it('has its parts in global order, by shard and then by number', async () => {
    const folder = fresh();
    for (const [shard, part] of [
      ['b', 0],
      ['a/x', 10],
      ['a/x', 2],
    ] as const) {
      await writePart(folder, { shard, part });
    }
    const { parts } = await open(folder);
    expect(parts.map(({ manifest }) => [manifest.shard, manifest.part])).toEqual([
      ['a/x', 2],
      ['a/x', 10],
      ['b', 0],
    ]);
  });

  it('of a selection has the recipe of the scored rows in its own', async () => {
    const scored = { sequence: { length: 16, packing: 'document', overlap: 4 }, tokenizer: { bos_id: 7 } };
    const recipe = { scored, conventions: { method: 'dft', normaliser: 'eligible-tokens', other: 1 } };
    const folder = fresh();
    await writePart(folder, { columns: COLUMNS.weighted, manifest: withRecipe(recipe) });
    const { recipe: read, kind } = await open(folder);
    expect(kind).toBe('weighted');
    expect([read.json, read.rowsJson]).toEqual([recipe, scored]);
    expect(read.rows).toMatchObject(scored);
    expect(read.conventions).toEqual({ method: 'dft', normaliser: 'eligible-tokens' });
  });

  it('may have imported losses, over others that were imported', async () => {
    const before = { as: 'current', means: 'spread', model_name: 'x' };
    const folder = fresh();
    await writePart(folder, { manifest: withRecipe({ import: { as: 'reference', before } }) });
    const set = await open(folder);
    expect(set.isImported).toBe(true);
    expect(set.recipe.rows.import).toEqual({ as: 'reference', before: { as: 'current', means: 'spread' } });
  });

  it('tells of parts with data and no manifest', async () => {
    const run = await writeRun(['scored']);
    const { manifest, sequences } = await writePart(join(run, 'scored'), { part: 1 });
    rmSync(manifest);
    const set = await open(run, ALL);
    expect(set.unfinished).toEqual([sequences]);
    expect(set.parts).toHaveLength(1);
    expect(await unfinishedRun(storage, set)).toMatch(/1 part\(s\) have data but no manifest/);
  });
});

describe('which folder of a run is taken', () => {
  it('is the first of those that the command prefers, and one that is named itself', async () => {
    const run = await writeRun(['scored', 'weighted', 'packed']);
    const taken = async (prefer: readonly DataSetKind[], name = run) => (await open(name, prefer)).kind;
    expect(await taken(['scored', 'packed'])).toBe('scored');
    expect(await taken(['packed', 'scored'])).toBe('packed');
    expect(await taken(ALL)).toBe('weighted');
    expect(await taken(['scored'], join(run, 'packed'))).toBe('packed');
    rmSync(join(run, 'weighted/a/x.parquet/00000.manifest.json'));
    expect(await taken(ALL)).toBe('scored');
  });

  it('is not the one that the command writes, where there is another', async () => {
    const run = await writeRun(['scored', 'packed']);
    const except = join(run, 'scored');
    const taken = async () => (await open(run, ['scored', 'packed'], { except })).kind;
    expect(await taken()).toBe('packed');
    rmSync(join(run, 'packed'), { recursive: true });
    expect(await taken()).toBe('scored');
  });

  it('is the only one, where none is preferred: several are refused', async () => {
    const run = await writeRun(['scored']);
    const around = { around: true };
    expect(await open(run, [], around)).toMatchObject({ folder: join(run, 'scored'), run });
    const below = await open(join(run, 'scored/a/x.parquet'), [], around);
    expect(below).toMatchObject({ folder: join(run, 'scored'), run });
    await expect(open(run)).rejects.toMatchObject({ code: 'misplaced-part' });
    await writePart(join(run, 'weighted'), { columns: COLUMNS.weighted });
    await expect(open(run, [], around)).rejects.toMatchObject({
      code: 'several-data-sets',
      message: expect.stringMatching(/holds 2 data sets; name one: .*scored, .*weighted$/),
    });
  });
});

describe('a folder that is refused', () => {
  it('is empty, or lacks finished parts', async () => {
    const run = fresh();
    const refused = (prefer: readonly DataSetKind[]) => expect(open(run, prefer)).rejects;
    const where = 'here, in weighted/, in scored/ or in packed/';
    const message = `${run}: no finished parts (*.manifest.json) ${where}; name something else`;
    await refused(ALL).toMatchObject({ code: 'nothing-here', reach: 'usage', message });
    const { manifest } = await writePart(join(run, 'scored'));
    rmSync(manifest);
    await refused(['scored']).toMatchObject({
      code: 'nothing-here',
      message: expect.stringContaining(' here or in scored/; '),
    });
    await refused([]).toMatchObject({ message: expect.stringContaining('(*.manifest.json); name') });
  });

  it('has a first file that is not what its manifest says, once columns are asked for', async () => {
    const folder = fresh();
    const { sequences } = await writePart(folder);
    truncateSync(sequences, 100);
    const set = await open(folder);
    await expect(columnsOf(storage, set)).rejects.toMatchObject({
      code: 'part-damaged',
      reach: 'fatal',
      message: expect.stringMatching(/00000\.arrow.*tokensieve verify .* --repair/),
    });
  });

  it('mixes recipes, has a damaged manifest, or parts that lie elsewhere', async () => {
    const mixed = fresh();
    await writePart(mixed);
    await writePart(mixed, { part: 1, manifest: withRecipe({ sequence: { length: 9 } }) });
    await expect(open(mixed)).rejects.toMatchObject({
      code: 'mixed-recipes',
      message: expect.stringContaining('sequence.length: 8 → 9'),
    });
    const damaged = fresh();
    writeFileSync((await writePart(damaged)).manifest, '{"version": 1}');
    await expect(open(damaged)).rejects.toMatchObject({ code: 'bad-manifest', reach: 'input' });
    const moved = fresh();
    await writePart(moved, { manifest: (manifest) => ({ ...manifest, shard: 'b.parquet' }) });
    await expect(open(moved)).rejects.toMatchObject({ code: 'misplaced-part' });
    await expect(findSource(storage, moved)).rejects.toMatchObject({ code: 'misplaced-part' });
  });

  it('has a recipe with a field of another type; a field that is not known passes', async () => {
    const refused: readonly (readonly [Manifest['recipe'], RegExp])[] = [
      [{ sequence: { length: '8' } }, /recipe\.sequence\.length: .*expected number, received string/],
      [{ scored: { tokenizer: { bos_id: 1.5 } } }, /recipe\.scored\.tokenizer\.bos_id: /],
      [{ scored: [] }, /recipe\.scored: .*expected object, received array/],
      [{ corpus: null }, /recipe\.corpus: /],
      [{ import: { as: 'reference', before: { as: 1 } } }, /recipe\.import\.before\.as: /],
    ];
    for (const [recipe, message] of refused) {
      const folder = fresh();
      await writePart(folder, { manifest: withRecipe(recipe) });
      await expect(open(folder)).rejects.toMatchObject({
        code: 'bad-recipe',
        reach: 'usage',
        message: expect.stringMatching(message),
      });
    }
    const newer = fresh();
    const recipe = { sequence: { length: 8, twist: true }, tokenizer: { hash: 'a', merges: 3 }, sieve: {} };
    await writePart(newer, { manifest: withRecipe(recipe) });
    const read = (await open(newer)).recipe;
    expect([read.json, read.rows.tokenizer]).toEqual([recipe, { hash: 'a' }]);
  });
});

describe('rows to learn from', () => {
  it('are the same of a run and of its folder; row length comes from the scored recipe of weights', async () => {
    const run = fresh();
    await writeFolder(join(run, 'weighted'), [[8, 8], [5]], {
      kind: 'weighted',
      columns: ['reference_loss', 'weight'],
      normaliser: 'eligible-tokens',
    });
    for (const path of [run, join(run, 'weighted')]) {
      expect(await openSource(storage, path)).toMatchObject({
        name: path,
        kind: 'weighted',
        columns: ['reference_loss', 'weight'],
        losses: ['reference_loss'],
        rows: 3,
        tokens: 21,
        targets: 18,
        normaliser: 'eligible-tokens',
        rules: { length: 8, attention: 'across', tokenizer: { bos: 1, eos: 2 } },
      });
    }
  });

  it('have a length in the plan of a training stage, weighted ones too', async () => {
    const [scored, weighted] = [fresh(), fresh()];
    await writeFolder(scored, [[8, 8], [5]]);
    await writeFolder(weighted, [[8, 8], [5]], { kind: 'weighted', columns: ['reference_loss', 'weight'] });
    const staged = parseStages(
      {
        stages: [
          {
            train: {
              out: 'a',
              model: { start: 'm' },
              data: { sources: [scored, weighted] },
              batch: { steps: 1 },
            },
          },
        ],
      },
      'test',
    );
    const facts = await gatherFacts(staged, storage);
    expect(facts.rows(scored)).toEqual({ tokens: 21, length: 8 });
    expect(facts.rows(weighted)).toEqual({ tokens: 21, length: 8 });
    expect(facts.rows(fresh())).toBeNull();
  });
});

it('opens every run of older versions', async () => {
  const runs = new URL('../../fixtures/old-runs/runs/', import.meta.url).pathname;
  const old = fresh();
  cpSync(runs, old, { recursive: true });
  const names = readdirSync(old);
  expect(names.length).toBeGreaterThan(5);
  for (const name of names) {
    const set = await open(join(old, name), ALL);
    expect(set.recipe.rows.tokenizer.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(await openSource(storage, set.folder)).toMatchObject({
      kind: set.kind,
      rules: { length: set.recipe.rows.sequence.length, attention: 'across' },
    });
  }
});
