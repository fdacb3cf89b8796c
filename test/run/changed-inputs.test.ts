/**
 * Inputs that change while a run goes on: every kind, in place and by rename, before the sessions open, within a part, between
 * two parts and before a resume. What is left must be of one input alone.
 */
import {
  chmodSync,
  closeSync,
  cpSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { packSchema } from '#tokensieve/pack/settings.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { digestFolder } from '../support/cli.js';
import { perturbedCheckpoint } from '../support/perturbed.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const WAYS = ['in place', 'by rename'] as const;
const TIMES = ['before the session', 'within a part', 'between two parts', 'before a resume'] as const;
type Way = (typeof WAYS)[number];
type Time = (typeof TIMES)[number];

/** Puts other bytes of the same number where a file is: in its pages, or as another file under its name. */
function change(path: string, bytes: Buffer, way: Way): void {
  if (way === 'by rename') {
    writeFileSync(`${path}.next`, bytes);
    renameSync(`${path}.next`, path);
    return;
  }
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
}

/** One kind of input, as it is and as it becomes. */
interface Kind {
  /** The file that changes, in the folder of one run. */
  readonly file: string;
  readonly before: () => Buffer;
  readonly after: () => Buffer;
  readonly run: (
    folder: string,
    options: { sink: (event: RunEvent) => void; signal: AbortSignal },
  ) => Promise<unknown>;
  readonly parts: string;
}

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
    run: (folder: string, options: { sink: (event: RunEvent) => void; signal: AbortSignal }) =>
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
  const kinds: Readonly<Record<string, Kind>> = {
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
  const prepare = (kind: Kind, bytes: Buffer): string => {
    const folder = join(root, `run-${runs++}`);
    mkdirSync(folder);
    if (kind.file === weights) cpSync(inputs.reference, join(folder, 'model'), { recursive: true });
    writeFileSync(join(folder, kind.file), bytes);
    return folder;
  };
  const nobody = (): AbortSignal => new AbortController().signal;

  /** What a run of one input alone writes. */
  const clean = new Map<string, Readonly<Record<string, string>>>();
  async function alone(name: string, kind: Kind, which: 'before' | 'after') {
    const key = `${name}\n${which}`;
    const known = clean.get(key);
    if (known !== undefined) return known;
    const folder = prepare(kind, kind[which]());
    await kind.run(folder, { sink: () => undefined, signal: nobody() });
    const made = digestFolder(join(folder, kind.parts));
    clean.set(key, made);
    return made;
  }

  /** Runs with a change at its time, as often as it takes to come to an end or to be refused. */
  async function changed(kind: Kind, folder: string, time: Time, act: () => void): Promise<unknown> {
    const stop = new AbortController();
    let done = 0;
    let acted = false;
    const once = (): void => {
      if (!acted) act();
      acted = true;
    };
    const sink = (event: RunEvent): void => {
      if (event.event === 'planned' && time === 'before the session') once();
      if (event.event === 'part-done') done++;
      if (event.event === 'part-done' && done === 2 && time === 'between two parts') once();
      if (event.event === 'progress' && done === 2 && time === 'within a part') once();
      if (event.event === 'part-done' && done === 2 && time === 'before a resume') stop.abort();
    };
    const first = await kind.run(folder, { sink, signal: stop.signal }).catch((error: unknown) => error);
    if (time !== 'before a resume') return first;
    once();
    return kind.run(folder, { sink: () => undefined, signal: nobody() }).catch((error: unknown) => error);
  }

  for (const [name, kind] of Object.entries(kinds)) {
    for (const way of WAYS) {
      for (const time of TIMES) {
        it(`${name}, ${way}, ${time}`, async () => {
          const [one, two] = [await alone(name, kind, 'before'), await alone(name, kind, 'after')];
          expect(one).not.toEqual(two);
          const folder = prepare(kind, kind.before());
          const outcome = await changed(kind, folder, time, () =>
            change(join(folder, kind.file), kind.after(), way),
          );
          const made = Object.entries(digestFolder(join(folder, kind.parts)));
          const isOf = (whole: Readonly<Record<string, string>>): boolean =>
            made.every(([file, digest]) => whole[file] === digest);
          expect(isOf(one) || isOf(two), 'files of one input alone').toBe(true);
          const isWhole = made.length === Object.keys(one).length;
          if (outcome instanceof Error) {
            expect(outcome).toMatchObject({
              code: expect.stringMatching(/^(model|shard)-changed|stale-parts$/),
            });
            expect(outcome.message).toContain(
              kind.file === weights && time === 'before a resume' ? 'models' : kind.file,
            );
          } else expect(isWhole).toBe(true);
        });
      }
    }
  }

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
