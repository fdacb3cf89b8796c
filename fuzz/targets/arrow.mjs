/** Arrow files by themselves: sequences and documents, read, inspected and compared. */
import { join } from 'node:path';
import { readDocuments } from '#tokensieve/dataset/documents.js';
import { readSequences } from '#tokensieve/dataset/reader.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { changeArrow } from '../arrow-changes.mjs';
import { runFiles } from '../run-folder.mjs';
import { resultOf } from '../support.mjs';

export const name = 'arrow';
const storage = localStorage();

export async function make(draw) {
  const files = await runFiles(draw.pick(['none', 'zstd', 'lz4']), draw.pick(['fp32', 'fp16']));
  const arrow = Object.keys(files).filter((file) => file.endsWith('.arrow'));
  return { files: { 'a.arrow': changeArrow(draw, files[draw.pick(arrow)], files[draw.pick(arrow)]) } };
}

export async function run(folder) {
  const path = join(folder, 'a.arrow');
  const outcomes = [];
  for (const open of [readSequences, readDocuments]) {
    const read = await resultOf(async () => {
      let rows = 0;
      const file = await open(storage, path);
      for await (const batch of file.batches()) rows += batch.length ?? batch.sequenceIds.length;
      if (rows !== (await file.countRows()))
        throw new Error(`${rows} rows read, ${await file.countRows()} counted`);
      return rows;
    });
    outcomes.push(read.outcome);
  }
  outcomes.push((await resultOf(() => inspect(path, { storage, cacheFolder: null }))).outcome);
  return outcomes;
}
