/** The simulated stage: parts that take a timed wait, and leave a real manifest. */
import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { MANIFEST_SUFFIX, stageManifest } from '../../dist/dataset/manifest.js';
import { packedFolder, partFiles, placeOfManifest } from '../../dist/dataset/part-files.js';
import { localStorage } from '../../dist/storage/local.js';

const sha = (text) => createHash('sha256').update(text).digest('hex');

/** Parts a shard: 100,000 parts are the 114 shards of OpenWebMath, and as many again six times. */
const PARTS_A_SHARD = 1_000;

/** The pipeline's one stage; its settings are those of a `pack` stage, and nothing of them is opened. */
export const stagesFor = (out) => [
  { name: 'pack', pack: { shards: ['simulated.parquet'], tokenizer: { path: 'simulated' }, out } },
];

export const partsOf = (count) =>
  Array.from({ length: count }, (_, i) => ({
    shard: `simulated-${String(Math.floor(i / PARTS_A_SHARD)).padStart(5, '0')}.parquet`,
    part: i % PARTS_A_SHARD,
    fingerprint: sha(`part ${i}`),
  }));

/** A hundred workers of one process share the list, which a real worker has to itself: 20 MB of 100,000 parts. */
const lists = new Map();
function sharedParts(count) {
  const known = lists.get(count) ?? partsOf(count);
  lists.set(count, known);
  return known;
}

/**
 * What a worker of the simulation does. `note` is told of each part: when it began and ended, and of each listing.
 * @param seconds of a part, on average; each takes between half of it and one and a half
 */
export function simulatedPerformer({ out, parts, seconds, note }) {
  const storage = localStorage();
  const folder = packedFolder(out);
  const all = sharedParts(parts);
  return {
    async plan() {
      const began = performance.now();
      const done = new Set();
      for (const path of await storage.list(folder)) {
        if (!path.endsWith(MANIFEST_SUFFIX)) continue;
        const place = placeOfManifest(folder, path);
        if (place !== null) done.add(`${place.shard} ${place.part}`);
      }
      const left = all.filter(({ shard, part }) => !done.has(`${shard} ${part}`));
      note({ event: 'listed', manifests: done.size, ms: performance.now() - began });
      const told = { shards: 1, parts: all.length, done: done.size, text_bytes: 0, done_bytes: 0 };
      return { left, told, broken: 0, quarantined: false };
    },
    finish: async () => undefined,
    async part(_stage, { shard, part, fingerprint }, signal) {
      const began = performance.now();
      await wait(seconds * 1000 * (0.5 + Math.random()), undefined, { signal });
      const waited = performance.now();
      const file = await stageManifest(storage, partFiles(folder, shard, part).manifest, {
        version: 1,
        kind: 'packed',
        shard,
        part,
        input: { name: shard, size: 1, row_start: 0, row_end: 1, text_sha256: sha('') },
        fingerprint,
        recipe: { simulated: true },
        counts: {
          documents: 1,
          text_bytes: 1,
          quarantined_rows: 0,
          quarantined: {},
          sequences: 1,
          tokens: 1,
        },
        histograms: {},
        outputs: [],
      });
      await file.commit();
      note({ event: 'part', began, waited, ended: performance.now() });
      return { parts: 1, tokens: 1, text_bytes: 1 };
    },
    single: () => Promise.reject(new Error('the simulation has no such stage')),
    close: async () => undefined,
  };
}
