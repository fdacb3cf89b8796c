import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { partFiles, placeOfManifest } from '#tokensieve/dataset/part-files.js';
import { inputError } from '#tokensieve/errors.js';
import type { RunEvent } from '#tokensieve/run/events.js';
import { leftoverParts } from '#tokensieve/run/leftovers.js';
import { planShards } from '#tokensieve/run/work.js';
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
