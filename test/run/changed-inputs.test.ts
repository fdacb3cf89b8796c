/**
 * Inputs that change while a run goes on: every kind, in place and by rename, before the sessions open, within a part, between
 * two parts and before a resume. What is left must be of one input alone.
 */
import {
  chmodSync,
  cpSync,
  linkSync,
  mkdirSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { packSchema } from '#tokensieve/pack/settings.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { localStorage } from '#tokensieve/storage/local.js';
import {
  type ChangingInput,
  changed,
  cleanRuns,
  nobody,
  type RunOptions,
  testChanges,
} from '../support/changed.js';
import { digestFolder } from '../support/cli.js';
import { perturbedCheckpoint } from '../support/perturbed.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

describe('inputs that change under a run', () => {
  const root = temporaryFolder();
  let inputs: QuickstartInputs;
  let other: string;
  const cache = join(root, 'cache');
  const storage = localStorage();

  beforeAll(async () => {
    inputs = await quickstartInputs(join(root, 'inputs'));
    other = perturbedCheckpoint(inputs.reference, join(root, 'other'), 1);
  });

  /** Texts of equal length, so that two files have the same size; rows that keep a url. */
  const rows = (word: string, host: string) =>
    Array.from({ length: 60 }, (_, i) => ({
      text: `${word} of number ${String(i).padStart(4, '0')} is a sum. `.repeat(6),
      url: `http://${host}/${String(i).padStart(4, '0')}`,
    }));
  const jsonl = (word: string, host: string): Buffer =>
    Buffer.from(
      rows(word, host)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    );
  /** Its pages are plain: words can be exchanged under the same footer. */
  const parquet = (): Buffer => {
    const made = rows('root', 'one.org');
    const column = (name: 'text' | 'url') => ({
      name,
      data: made.map((row) => row[name]),
      type: 'STRING' as const,
    });
    return Buffer.from(
      parquetWriteBuffer({
        columnData: [column('text'), column('url')],
        codec: 'UNCOMPRESSED',
        statistics: false,
        rowGroupSize: 6,
      }),
    );
  };
  const otherPages = (bytes: Buffer, from: string, to: string): Buffer => {
    const footer = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
    const pages = bytes.subarray(0, footer).toString('latin1').replaceAll(from, to);
    return Buffer.concat([Buffer.from(pages, 'latin1'), bytes.subarray(footer)]);
  };

  const packed = (file: string) => ({
    file,
    parts: 'out/packed',
    run: (folder: string, options: RunOptions) =>
      packCorpus(
        parseSettings(
          packSchema,
          {
            shards: [join(folder, file)],
            out: join(folder, 'out'),
            corpus: { part_bytes: 1500, keep: ['url'] },
            tokenizer: { path: inputs.reference },
            sequence: { length: 64 },
          },
          'test',
        ),
        { storage, replace: false, ...options },
      ),
  });
  const weights = 'model/model.safetensors';
  const kinds: Readonly<Record<string, ChangingInput>> = {
    'text of a jsonl shard': {
      ...packed('s.jsonl'),
      before: () => jsonl('root', 'one.org'),
      after: () => jsonl('term', 'one.org'),
    },
    'kept columns of a jsonl shard': {
      ...packed('s.jsonl'),
      before: () => jsonl('root', 'one.org'),
      after: () => jsonl('root', 'two.org'),
    },
    'pages of a parquet shard under one footer': {
      ...packed('s.parquet'),
      before: parquet,
      after: () => otherPages(parquet(), 'root', 'term'),
    },
    'kept columns of a parquet shard under one footer': {
      ...packed('s.parquet'),
      before: parquet,
      after: () => otherPages(parquet(), 'one.org', 'two.org'),
    },
    'weights of a model': {
      file: weights,
      resumed: 'models',
      parts: 'out/scored',
      before: () => readFileSync(join(inputs.reference, 'model.safetensors')),
      after: () => readFileSync(join(other, 'model.safetensors')),
      run(folder, options) {
        writeFileSync(join(folder, 's.jsonl'), jsonl('root', 'one.org'));
        return scoreCorpus(
          parsePipeline(
            {
              shards: [join(folder, 's.jsonl')],
              reference: join(folder, 'model'),
              out: join(folder, 'out'),
              corpus: { part_bytes: 4000 },
              sequence: { length: 64 },
              score: { device: 'cpu' },
              run: { cache, threads: 1 },
            },
            'test',
          ),
          { storage, replace: false, ...options },
        );
      },
    },
  };

  let runs = 0;
  const prepare = (kind: ChangingInput, bytes: Buffer): string => {
    const folder = join(root, `run-${runs++}`);
    mkdirSync(folder);
    if (kind.file === weights) cpSync(inputs.reference, join(folder, 'model'), { recursive: true });
    writeFileSync(join(folder, kind.file), bytes);
    return folder;
  };
  const alone = cleanRuns(prepare);
  for (const [name, kind] of Object.entries(kinds))
    testChanges(name, kind, /^((model|shard)-changed|stale-parts)$/, prepare, alone);

  it('says so where weights are emptied under a session, which ends the process that maps them', async () => {
    const kind = kinds['weights of a model'];
    if (kind === undefined) throw new Error('no weights');
    const folder = prepare(kind, kind.before());
    const outcome = await changed(kind, folder, 'between two parts', () =>
      truncateSync(join(folder, kind.file), 0),
    );
    expect(outcome).toMatchObject({ code: 'model-changed', message: expect.stringContaining(kind.file) });
    const whole = await alone('weights of a model', kind, 'before');
    for (const [file, digest] of Object.entries(digestFolder(join(folder, kind.parts))))
      expect(whole[file]).toBe(digest);
    // The next session has a process again.
    writeFileSync(join(folder, kind.file), kind.before());
    await kind.run(folder, { sink: () => undefined, signal: nobody() });
    expect(digestFolder(join(folder, kind.parts))).toEqual(whole);
  });

  it('goes on where only times, rights or links of its inputs moved', async () => {
    for (const name of [
      'weights of a model',
      'kept columns of a parquet shard under one footer',
      'text of a jsonl shard',
    ]) {
      const kind = kinds[name];
      if (kind === undefined) throw new Error(name);
      const folder = prepare(kind, kind.before());
      const path = join(folder, kind.file);
      const outcome = await changed(kind, folder, 'within a part', () => {
        chmodSync(path, 0o600);
        linkSync(path, `${path}.link`);
        utimesSync(path, 1, 1);
      });
      expect(outcome).not.toBeInstanceOf(Error);
      expect(digestFolder(join(folder, kind.parts))).toEqual(await alone(name, kind, 'before'));
    }
  });
});
