/** Files of losses made elsewhere (Arrow files and streams, parquet, JSON, torch): found, hashed, and read to their last record. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseImport } from '#tokensieve/import/settings.js';
import { openSources, readSources } from '#tokensieve/import/sources.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { changeArrow } from '../arrow-changes.mjs';
import { change } from '../bytes.mjs';
import { changeJson } from '../json.mjs';
import { fixtures, resultOf } from '../support.mjs';

export const name = 'import';
const storage = localStorage();
const folder = join(fixtures, 'import');
const SOURCES = readdirSync(folder).filter((file) => /\.(arrows?|parquet|pt|json)$/.test(file));
const ARROW = SOURCES.filter((file) => /\.arrows?$/.test(file));

export function make(draw) {
  // Arrow twice as often as all others.
  const file = draw.pick(draw.chance(0.6) ? ARROW : SOURCES);
  const bytes = readFileSync(join(folder, file));
  const other = readFileSync(join(folder, draw.pick(SOURCES)));
  const made = /arrows?$/.test(file)
    ? changeArrow(draw, bytes, other)
    : file.endsWith('.json') && draw.chance(0.7)
      ? Buffer.from(changeJson(draw, JSON.parse(String(bytes)), draw.small(5) + 1))
      : change(draw, bytes, other);
  const format = draw.chance(0.9) ? 'auto' : draw.pick(['arrow', 'parquet', 'json', 'torch']);
  return { files: { [file]: made }, file, format };
}

export async function run(input, { file, format }) {
  const read = await resultOf(async () => {
    const settings = parseImport(
      { run: input, losses: [join(input, file)], out: join(input, 'out'), model_name: 'elsewhere', format },
      'fuzz',
    );
    const sources = await openSources(storage, settings, new AbortController().signal);
    const reader = readSources(storage, sources, settings);
    let records = 0;
    try {
      while ((await reader.next()) !== null) records++;
      return records;
    } finally {
      await reader.close();
    }
  });
  return [read.outcome];
}
