/** Inputs other than shards and weights that change while parts are made of them: losses to be imported, tokenizers, methods. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tableFromArrays, tableToIPC } from 'apache-arrow';
import { beforeAll, describe } from 'vitest';
import { importScores } from '#tokensieve/import/import-run.js';
import { parseImport } from '#tokensieve/import/settings.js';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { parsePack } from '#tokensieve/pack/settings.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import type { Row } from '../dataset/batches.js';
import { rowsOf } from '../import/support.js';
import { type ChangingInput, cleanRuns, nobody, testChanges } from '../support/changed.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const root = temporaryFolder();
const at = (...names: string[]): string => join(root, ...names);
const storage = localStorage();
let inputs: QuickstartInputs;
let rows: Row[];

const packing = (folder: string, tokenizer: string) =>
  parsePack(
    {
      shards: [at('docs.jsonl')],
      corpus: { part_bytes: 3000 },
      tokenizer: { path: tokenizer },
      sequence: { length: 64 },
      out: folder,
    },
    'test',
  );

beforeAll(async () => {
  inputs = await quickstartInputs(at('inputs'));
  const lines = Array.from({ length: 60 }, (_, i) =>
    JSON.stringify({ text: `The sum of number ${String(i).padStart(4, '0')} is said. `.repeat(8) }),
  );
  writeFileSync(at('docs.jsonl'), `${lines.join('\n')}\n`);
  const options = { storage, sink: () => undefined, signal: nobody(), replace: false };
  await packCorpus(packing(at('packed'), inputs.reference), options);
  rows = await rowsOf(at('packed'), 'packed');
  const out = at('scored');
  mkdirSync(out);
  writeFileSync(at('both.jsonl'), lossesOf(1));
  const settings = { run: at('packed'), losses: [at('both.jsonl')], out, model_name: 'elsewhere' };
  await importScores(parseImport(settings, 'test'), options);
}, 60_000);

/** A loss of four decimals for every target, another for every `by`. */
const recordsOf = (by: number) =>
  rows.map(({ ids, columns }, row) => ({
    input_ids: [...ids],
    losses: Array.from(ids, (id, i) =>
      columns['weight']?.[i] === 1 ? 1 + ((id * 7 + row + i * by) % 8999) / 1000 : null,
    ),
  }));
const lossesOf = (by: number): Buffer =>
  Buffer.from(
    recordsOf(by)
      .map(({ input_ids, losses }) => {
        const told = losses.map((loss) => loss?.toFixed(4) ?? 'null');
        return `{"input_ids":[${input_ids}],"losses":[${told}]}\n`;
      })
      .join(''),
  );
const arrowOf = (by: number): Buffer => {
  const records = recordsOf(by);
  return Buffer.from(
    tableToIPC(
      tableFromArrays({
        input_ids: records.map(({ input_ids }) => input_ids),
        losses: records.map(({ losses }) => losses),
      }),
      'file',
    ),
  );
};

const imported = (file: string, bytes: (by: number) => Buffer): ChangingInput => ({
  file,
  resumed: 'import.sources',
  parts: 'out/scored',
  before: () => bytes(1),
  after: () => bytes(3),
  run: (folder, options) =>
    importScores(
      parseImport(
        {
          run: at('packed'),
          losses: [join(folder, file)],
          out: join(folder, 'out'),
          model_name: 'elsewhere',
        },
        'test',
      ),
      { storage, replace: false, ...options },
    ),
});

/** One merge less, in as many bytes. */
function otherTokenizer(): Buffer {
  const bytes = readFileSync(join(inputs.reference, 'tokenizer.json'));
  const json = JSON.parse(bytes.toString()) as { model: { merges: unknown[] } };
  json.model.merges.pop();
  return Buffer.from(JSON.stringify(json).padEnd(bytes.length));
}

const method = (sign: string): Buffer =>
  Buffer.from(`const score = ({ columns: { reference_loss } }, out) => {
  for (let i = 0; i < out.length; i++) out[i] = ${sign}reference_loss[i];
};
export default {
  name: 'own', version: 1, summary: 'as a test', source: 'a test',
  plan: ({ keep }) => ({
    unit: 'token', columns: ['reference_loss'], score: '${sign}reference_loss', normaliser: 'weights', usesKeep: true, usesSeed: false,
    signals: [score], rankings: [{ score, bounds: (eligible) => [0, Math.floor(keep * eligible)] }],
    weigh: (_tokens, [ranked], out) => out.set(ranked?.kept ?? []),
  }),
};
`);

const kinds: Readonly<Record<string, ChangingInput>> = {
  'losses of JSON lines to be imported': imported('losses.jsonl', lossesOf),
  'losses of an Arrow file to be imported': imported('losses.arrow', arrowOf),
  'a tokenizer': {
    file: 'tokenizer/tokenizer.json',
    resumed: 'tokenizer',
    parts: 'out/packed',
    before: () => readFileSync(join(inputs.reference, 'tokenizer.json')),
    after: otherTokenizer,
    run: (folder, options) =>
      packCorpus(packing(join(folder, 'out'), join(folder, 'tokenizer')), {
        storage,
        replace: false,
        ...options,
      }),
  },
  'a method file': {
    // Its path is in the recipe: one for all runs.
    file: '../method.mjs',
    resumed: 'method',
    parts: 'out',
    before: () => method('+'),
    after: () => method('-'),
    run: (folder, options) =>
      selectRun(
        at('scored'),
        join(folder, 'out'),
        selectionSettings.parse({ method: at('method.mjs'), keep: 0.5 }),
        { storage, replace: false, ...options },
      ),
  },
};

let runs = 0;
const prepare = (kind: ChangingInput, bytes: Buffer): string => {
  const folder = at(`run-${runs++}`);
  mkdirSync(folder);
  if (kind.file.startsWith('tokenizer/'))
    cpSync(inputs.reference, join(folder, 'tokenizer'), { recursive: true });
  writeFileSync(join(folder, kind.file), bytes);
  return folder;
};

describe('sources that change under a run', () => {
  const alone = cleanRuns(prepare);
  for (const [name, kind] of Object.entries(kinds))
    testChanges(name, kind, /^(source-changed|model-changed|stale-parts)$/, prepare, alone);
});
