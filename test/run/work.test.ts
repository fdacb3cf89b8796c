import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Manifest, manifestBytes } from '#tokensieve/dataset/manifest.js';
import { partFiles, placeOfManifest } from '#tokensieve/dataset/part-files.js';
import { inputError } from '#tokensieve/errors.js';
import { partTask, planShards, rowTasks, tasksOf } from '#tokensieve/pack/work.js';
import { dataSetManifests } from '#tokensieve/parts/data-set-manifests.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { findWork } from '#tokensieve/parts/find-work.js';
import { leftoverParts } from '#tokensieve/parts/leftovers.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { memoryStorage } from '../corpus/memory-storage.js';

describe('planning shards', () => {
  it('reads 8 at once, keeps their order, and sets those that cannot be read aside in it', async () => {
    const shards = Array.from({ length: 30 }, (_, i) => {
      const name = `${String(i).padStart(2, '0')}.jsonl`;
      return { path: name, name, format: 'jsonl' as const };
    });
    let flying = 0;
    let most = 0;
    const storage = {
      ...memoryStorage({}),
      async stat(path: string) {
        most = Math.max(most, ++flying);
        // Later ones answer sooner.
        await wait(30 - Number.parseInt(path, 10));
        flying--;
        if (path.startsWith('1')) throw inputError('not-found', `${path}: no such object.`);
        return { size: 100 };
      },
    };
    const events: RunEvent[] = [];
    const options = { columns: { text: 'text', keep: [] }, maxTextBytes: 100, partBytes: 100 };
    const { plans, broken } = await planShards(storage, shards, options, undefined, (event) =>
      events.push(event),
    );
    const names = shards.map(({ name }) => name);
    expect(most).toBe(8);
    expect(plans.map(({ shard }) => shard.name)).toEqual(names.filter((name) => !name.startsWith('1')));
    expect(broken.map(({ shard }) => shard)).toEqual(names.filter((name) => name.startsWith('1')));
    expect(events.map((event) => event.event === 'quarantined' && event.shard)).toEqual(
      broken.map(({ shard }) => shard),
    );
  });
});

describe('looking for what is left to do', () => {
  const recipe = { stage: 'score', semantics: 1 };
  const plan = (name: string, parts: number | null) => ({
    shard: { path: name, name, format: parts === null ? ('jsonl' as const) : ('parquet' as const) },
    identity: { name, size: 1000 },
    rows: parts,
    textBytes: 1000,
    parts:
      parts === null
        ? null
        : Array.from({ length: parts }, (_, part) => ({
            part,
            rowStart: part,
            rowEnd: part + 1,
            rowGroups: [part, part + 1] as const,
            textBytes: 10,
          })),
  });
  const plans = [plan('a.parquet', 60), plan('b.jsonl', null), plan('c.parquet', 2), plan('d.jsonl', null)];
  const manifestOf = (shard: (typeof plans)[number], part: number, made = recipe): Manifest => ({
    version: 1,
    kind: 'scored',
    shard: shard.shard.name,
    part,
    input: {
      name: shard.shard.name,
      size: 1000,
      row_start: part,
      row_end: part + 1,
      text_sha256: 'a'.repeat(64),
    },
    fingerprint: partTask(shard, part, null, made).fingerprint,
    recipe: made,
    counts: {
      documents: 1,
      text_bytes: 10,
      quarantined_rows: 0,
      quarantined: {},
      sequences: 1,
      // Tells the parts apart.
      tokens: 1000 * plans.indexOf(shard) + part,
    },
    histograms: {},
    outputs: [],
  });

  const job = { manifests: dataSetManifests('out', 'scored'), ...rowTasks('out', recipe, []) };
  const find = (storage: Storage, replace: boolean) =>
    findWork(job, { tasks: tasksOf(plans), broken: [] }, tasksOf(plans), { storage, replace });

  /** A store in which a read takes a while, later ones less, and how many were under way at once. */
  function slowStore() {
    const objects: Record<string, Uint8Array> = {};
    const put = (
      shard: (typeof plans)[number],
      part: number,
      bytes = manifestBytes(manifestOf(shard, part)),
    ) => {
      objects[partFiles('out', shard.shard.name, part).manifest] = bytes;
    };
    for (const shard of plans) for (let part = 0; part < 60; part++) if (part !== 7) put(shard, part);
    const [a, , c] = plans;
    if (a === undefined || c === undefined) throw new Error('no plans');
    put(a, 20, Buffer.from('{'));
    const inner = memoryStorage(objects);
    const seen = { most: 0, reads: 0 };
    let flying = 0;
    const storage = {
      ...inner,
      async readRange(path: string, start: number, end: number) {
        seen.reads++;
        seen.most = Math.max(seen.most, ++flying);
        await wait(20 - (seen.reads % 20));
        flying--;
        return inner.readRange(path, start, end);
      },
    };
    return { storage, seen, put, a, c };
  }

  it('reads 16 manifests at once, and finds the same as one after the other', async () => {
    const { storage, seen } = slowStore();
    const work = await find(storage, false);
    expect(seen).toEqual({ most: 16, reads: 60 - 1 + 59 + 2 + 59 });
    // Every finished part, in the order of shards and parts; each once.
    const parts = (index: number, most: number, ...but: number[]) =>
      Array.from({ length: most }, (_, part) => 1000 * index + part).filter((id) => !but.includes(id % 1000));
    expect(work.done.map(({ kept }) => kept.counts.tokens)).toEqual([
      ...parts(0, 60, 7, 20),
      ...parts(1, 60, 7),
      ...parts(2, 2),
      ...parts(3, 60, 7),
    ]);
    expect(work.tasks.map((task) => [task.plan.shard.name, task.part?.part ?? null])).toEqual([
      ['a.parquet', 7],
      ['a.parquet', 20],
      ['b.jsonl', null],
      ['d.jsonl', null],
    ]);
    expect(work.damaged).toEqual([expect.stringContaining('out/a.parquet/00020.manifest.json')]);
    expect([...work.doneBefore].map(([{ plan }, done]) => [plan.shard.name, [...done.keys()]])).toEqual([
      ['b.jsonl', parts(0, 60, 7)],
      ['d.jsonl', parts(0, 60, 7)],
    ]);
  });

  it('names the first stale part, whichever is read first', async () => {
    const { storage, put, a, c } = slowStore();
    const other = { stage: 'score', semantics: 2 };
    for (const [shard, part] of [
      [c, 1],
      [a, 41],
      [a, 40],
    ] as const) {
      put(shard, part, manifestBytes(manifestOf(shard, part, other)));
    }
    await expect(find(storage, false)).rejects.toThrow(
      /3 finished part\(s\) were made otherwise \(out\/a\.parquet\/00040\./,
    );
    const { tasks } = await find(storage, true);
    expect(tasks.map((task) => task.part?.part ?? null)).toEqual([7, 20, 40, 41, null, 1, null]);
  });
});

describe('leftover parts', () => {
  const at = (shard: string, ...parts: number[]) => parts.map((part) => ({ shard, part }));

  it('are those of shards without a name, and those beyond a shard’s end', () => {
    const found = [...at('a', 0, 1, 2), ...at('b', 0), ...at('c', 0, 7)];
    const counts = new Map([
      ['a', 2],
      ['c', null],
    ]);
    expect(leftoverParts(found, counts)).toEqual([...at('a', 2), ...at('b', 0)]);
  });

  it('are known by the paths of their manifests', () => {
    for (const place of [...at('a/b.parquet', 0, 99_999, 123_456), ...at('00001', 1)]) {
      expect(placeOfManifest('./out/', partFiles('out', place.shard, place.part).manifest)).toEqual(place);
    }
    for (const path of ['out/00000.manifest.json', 'out/a/0.manifest.json', 'other/a/00000.manifest.json']) {
      expect(placeOfManifest('out', path)).toBeNull();
    }
    expect(placeOfManifest('out', 'out/a/000001.manifest.json')).toBeNull();
  });
});
