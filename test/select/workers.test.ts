import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { type SelectionInput, selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { routedStorage } from '#tokensieve/storage/routed.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { writePart } from '../dataset/runs.js';
import { filesBelow } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';

const root = temporaryFolder();
let runs = 0;

/** Five parts in two shards. Losses of a coarse grid tie within parts and between them. */
async function scoredRun(): Promise<string> {
  const run = join(root, `run-${runs++}`);
  for (const [shard, parts] of [['a/x.parquet', 3] as const, ['b/y.parquet', 2] as const]) {
    for (let part = 0; part < parts; part++) {
      await writePart(join(run, 'scored'), {
        shard,
        part,
        rows: (rows) =>
          rows.map((row, r) => ({
            ...row,
            columns: {
              reference_loss: row.ids.map((_, i) =>
                i === 0 ? Number.NaN : ((r * 5 + i * 3 + part) % 7) / 4,
              ),
              current_loss: row.ids.map((_, i) => (i === 0 ? Number.NaN : ((r * 3 + i * 5 + part) % 11) / 4)),
            },
          })),
      });
    }
  }
  return run;
}

interface HowToRun {
  readonly workers: number;
  readonly storage?: Storage;
}

async function weigh(run: string, input: SelectionInput, how: HowToRun) {
  const out = join(run, `weighted-${runs++}`);
  const {
    folder: _,
    seconds: __,
    ...report
  } = await selectRun(run, out, selectionSettings.parse(input), {
    storage: how.storage ?? routedStorage(),
    sink: () => undefined,
    signal: new AbortController().signal,
    replace: false,
    workers: how.workers,
  });
  return { report, files: bytesBelow(out) };
}

/** Data files and manifests by their names; notes of the processes, which tell who was at it, left out. */
const bytesBelow = (folder: string): Record<string, string> =>
  Object.fromEntries(
    filesBelow(folder)
      .filter((path) => !path.includes('/.workers/'))
      .map((path) => [path.slice(folder.length), readFileSync(path).toString('base64')]),
  );

describe('workers', () => {
  it.each<SelectionInput>([
    { method: 'slm', scope: 'dataset', keep: 0.3 },
    { method: 'slm', scope: 'shard', keep: 0.5 },
    { method: 'slm', scope: 'window:16', keep: 0.5 },
    { method: 'rho-loss', scope: 'dataset', keep: 0.5 },
    { method: 'domain-weights', domains: 'url', scope: 'window:16' },
  ])('change no byte and no figure: %o', async (input) => {
    const run = await scoredRun();
    const alone = await weigh(run, input, { workers: 1 });
    expect(Object.keys(alone.files)).toHaveLength(10);
    expect(await weigh(run, input, { workers: 2 })).toEqual(alone);
    expect(await weigh(run, input, { workers: 4 })).toEqual(alone);
    // A storage of the caller's own cannot be opened by another thread: its parts are weighed in this one.
    expect(await weigh(run, input, { workers: 3, storage: localStorage() })).toEqual(alone);
  });

  it('load a method of one’s own', async () => {
    const run = await scoredRun();
    const path = join(run, 'odd.mjs');
    writeFileSync(
      path,
      `export default {
        name: 'odd', version: 1, summary: 's', source: 'control',
        plan: () => ({
          unit: 'token', columns: ['current_loss'], score: 'none', normaliser: 'weights', usesKeep: false,
          usesSeed: false, rankings: [], signals: [], weigh: (tokens, ranked, out) => out.fill(0.25),
        }),
      };`,
    );
    const alone = await weigh(run, { method: path }, { workers: 1 });
    expect(alone.report.weightSum).toBe(5 * 3 * 7 * 0.25);
    expect(await weigh(run, { method: path }, { workers: 2 })).toEqual(alone);
  });

  it('refuse what one process refuses, in its words, and leave nothing staged', async () => {
    const run = await scoredRun();
    const path = join(run, 'scored/b/y.parquet/00001.arrow');
    const bytes = readFileSync(path);
    // A loss of the last record batch, which looks as sound as before.
    const at = bytes.lastIndexOf(Buffer.from(Float32Array.of(0.75).buffer));
    bytes.set(new Uint8Array(Float32Array.of(0.5).buffer), at);
    writeFileSync(path, bytes);
    for (const scope of ['dataset', 'window:16']) {
      const refused = async (workers: number): Promise<unknown> =>
        weigh(run, { scope }, { workers }).catch(({ code, reach, message }) => ({ code, reach, message }));
      const alone = await refused(1);
      expect(alone).toMatchObject({ code: 'part-damaged', message: expect.stringContaining('--repair') });
      expect(await refused(2)).toEqual(alone);
    }
    expect(filesBelow(run).filter((name) => /staging|\.tmp/.test(name))).toEqual([]);
  });

  it('stop when they are told to, and are done by the same command again', async () => {
    const run = await scoredRun();
    const input: SelectionInput = { scope: 'dataset', keep: 0.3 };
    const fresh = await weigh(run, input, { workers: 1 });
    const out = join(run, 'stopped');
    const stop = new AbortController();
    const reason = new Error('stop');
    const select = (signal: AbortSignal, sink: (event: RunEvent) => void) =>
      selectRun(run, out, selectionSettings.parse(input), {
        storage: routedStorage(),
        sink,
        signal,
        replace: false,
        workers: 2,
      });
    const stopped = select(stop.signal, (event) => {
      if (event.event === 'progress') stop.abort(reason);
    });
    await expect(stopped).rejects.toBe(reason);
    const left = filesBelow(out).filter((name) => !name.includes('/.workers/'));
    expect(left.filter((name) => !/\d{5}\.(arrow|manifest\.json)$/.test(name))).toEqual([]);
    expect(left.length).toBeLessThan(10);
    await select(new AbortController().signal, () => undefined);
    expect(bytesBelow(out)).toEqual(fresh.files);
  });
});
