/** Texts of mixed lengths for the load: pieces of real documents where they are at hand, else of the generated ones. */
import { existsSync } from 'node:fs';
import { expandShards } from '../../dist/corpus/expand.js';
import { planShard, readShard } from '../../dist/corpus/read-shard.js';
import { localStorage } from '../../dist/storage/local.js';

/** Shortest and longest text, in UTF-16 units; lengths between them are spread evenly on a log scale. */
const [SHORTEST, LONGEST] = [20, 3000];

/** Uniform numbers from a seed (mulberry32). */
export function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function documentsOf(glob) {
  const storage = localStorage();
  const options = {
    columns: { text: 'text', keep: [] },
    maxTextBytes: 1 << 26,
    partBytes: 1 << 23,
    limit: 2000,
  };
  const found = [];
  for (const shard of await expandShards(storage, [glob])) {
    for await (const part of readShard(storage, await planShard(storage, shard, options), options)) {
      for await (const row of part.rows) if (row.kind === 'document') found.push(row.text);
      if (found.length >= options.limit) return found;
    }
  }
  return found;
}

/** Documents, and where they are from. */
async function readDocuments(shards) {
  if (existsSync(shards)) return { source: shards, documents: await documentsOf(shards) };
  console.error(`no ${shards}: texts are generated`);
  const { rowsOf, shards: generated } = await import('../../fixtures/quickstart/corpus.mjs');
  const { defaults } = await import('../../fixtures/quickstart/make.mjs');
  const documents = rowsOf({ ...generated[0], rows: 2000 }, defaults.seed).map(({ text }) => text);
  return { source: 'generated', documents };
}

/** `count` pieces of documents, joined where one document is too short. The same for the same seed. */
export async function mixedTexts(shards, count, seed) {
  const { source, documents } = await readDocuments(shards);
  const next = uniforms(seed);
  const texts = Array.from({ length: count }, () => {
    const length = Math.round(SHORTEST * (LONGEST / SHORTEST) ** next());
    let at = Math.floor(next() * documents.length);
    let text = '';
    while (text.length < length) text += `${documents[at++ % documents.length]}\n`;
    const start = Math.floor(next() * (text.length - length));
    // No half of a surrogate pair at either end.
    return text.slice(start, start + length).replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, '');
  });
  return { source, texts };
}
