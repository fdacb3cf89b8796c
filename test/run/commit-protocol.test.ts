/**
 * The commit protocol under leases that run out: several workers make one part at once, each call of theirs to the
 * store let through one at a time in any order, some killed between two calls. The code under test is the real one, down
 * to the storage interface; the model is who holds the lease and whether the part was reported done.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseManifest } from '#tokensieve/dataset/manifest.js';
import { inputError } from '#tokensieve/errors.js';
import { openPacking } from '#tokensieve/pack/pack-run.js';
import type { OpenRows } from '#tokensieve/pack/rows-job.js';
import { parsePack } from '#tokensieve/pack/settings.js';
import { planShards, readOptions, type Task, tasksOf } from '#tokensieve/pack/work.js';
import { doTask } from '#tokensieve/parts/do-task.js';
import { localStorage } from '#tokensieve/storage/local.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const WORKERS = 3;
const OUT = '/out';
type Files = Map<string, Uint8Array>;

/** A store whose outputs are in memory; every call on them first asks for leave. */
function gatedStorage(files: Files, leave: () => Promise<void>): Storage {
  const disk = localStorage();
  const isOutput = (path: string): boolean => path.startsWith(OUT);
  const find = (path: string): Uint8Array => {
    const bytes = files.get(path);
    if (bytes === undefined) throw inputError('not-found', `${path}: no such file`);
    return bytes;
  };
  return {
    async stat(path) {
      if (!isOutput(path)) return disk.stat(path);
      await leave();
      return { size: find(path).length };
    },
    async readRange(path, start, end) {
      if (!isOutput(path)) return disk.readRange(path, start, end);
      await leave();
      return find(path).slice(start, end);
    },
    async list(folder, options) {
      if (!isOutput(folder)) return disk.list(folder, options);
      await leave();
      return [...files.keys()].filter((path) => path.startsWith(`${folder}/`)).sort();
    },
    async stage(path) {
      const chunks: Uint8Array[] = [];
      return {
        path,
        write: async (bytes) => void chunks.push(bytes.slice()),
        async commit() {
          await leave();
          files.set(path, Buffer.concat(chunks));
        },
        abort: async () => undefined,
      };
    },
    async remove(path) {
      await leave();
      files.delete(path);
    },
  };
}

/** A worker at the part; it stands still at its next call to the store until it is let on. */
interface AtWork {
  /** Lets the next call through, and waits for the one after it, or the end. */
  step(): Promise<void>;
  readonly isOver: () => boolean;
}

interface Real {
  readonly files: Files;
  readonly workers: (AtWork | null)[];
}
interface Model {
  readonly busy: boolean[];
  lease: number | null;
  reported: boolean;
  /** Two were at it at once. */
  overlapped: boolean;
}

let parts: OpenRows;
let task: Task;
let expected: Files;

async function start(files: Files): Promise<AtWork> {
  let letOn: (() => void) | null = null;
  let arrived: () => void = () => undefined;
  let over = false;
  const leave = (): Promise<void> =>
    new Promise((resolve) => {
      letOn = resolve;
      arrived();
    });
  const standing = (): Promise<void> =>
    new Promise((resolve) => {
      arrived = resolve;
      if (letOn !== null || over) resolve();
    });
  const never = new AbortController().signal;
  const lane = await parts.job.open(1, never);
  doTask(parts.job, task, lane, {
    storage: gatedStorage(files, leave),
    sink: () => undefined,
    signal: never,
    replace: false,
  }).then(
    () => {
      over = true;
      arrived();
    },
    (error: unknown) => {
      throw error;
    },
  );
  await standing();
  return {
    async step() {
      const go = letOn;
      letOn = null;
      go?.();
      await standing();
    },
    isOver: () => over,
  };
}

/** What a reader may count on at any moment. */
function checkFiles({ files }: Real, { reported }: Model): void {
  const path = [...files.keys()].find((name) => name.endsWith('.manifest.json'));
  if (reported) expect(path, 'a part that was reported done is not undone').toBeDefined();
  if (path === undefined) return;
  const manifest = parseManifest(Buffer.from(files.get(path) ?? []).toString('utf8'), path);
  for (const { name, sha256 } of manifest.outputs) {
    const bytes = files.get(join(path, '..', name)) ?? Buffer.from('');
    expect(createHash('sha256').update(bytes).digest('hex'), `${name} beside its manifest`).toBe(sha256);
  }
}

abstract class Command implements fc.AsyncCommand<Model, Real> {
  constructor(protected readonly worker: number) {}
  abstract check(model: Readonly<Model>): boolean;
  abstract act(model: Model, real: Real): Promise<void>;
  async run(model: Model, real: Real): Promise<void> {
    await this.act(model, real);
    checkFiles(real, model);
  }
  toString(): string {
    return `${this.constructor.name}(${this.worker})`;
  }
}

class Take extends Command {
  check({ busy, lease, reported }: Readonly<Model>): boolean {
    return lease === null && !reported && busy[this.worker] === false;
  }
  async act(model: Model, real: Real): Promise<void> {
    model.lease = this.worker;
    model.busy[this.worker] = true;
    if (model.busy.filter(Boolean).length > 1) model.overlapped = true;
    real.workers[this.worker] = await start(real.files);
  }
}

class Step extends Command {
  constructor(
    worker: number,
    private readonly times: number,
  ) {
    super(worker);
  }
  check({ busy }: Readonly<Model>): boolean {
    return busy[this.worker] === true;
  }
  async act(model: Model, real: Real): Promise<void> {
    for (let i = 0; i < this.times; i++) {
      const worker = real.workers[this.worker];
      if (worker === null || worker === undefined) return;
      await worker.step();
      checkFiles(real, model);
      if (!worker.isOver()) continue;
      real.workers[this.worker] = null;
      model.busy[this.worker] = false;
      // Whoever lost the lease may end its part, and reports it to nobody.
      if (model.lease === this.worker) {
        model.reported = true;
        model.lease = null;
      }
    }
  }
}

/** Between two calls: the one that it stands at is never made. Its lease runs out later. */
class Kill extends Command {
  check({ busy }: Readonly<Model>): boolean {
    return busy[this.worker] === true;
  }
  async act(model: Model, real: Real): Promise<void> {
    real.workers[this.worker] = null;
    model.busy[this.worker] = false;
  }
}

/** The holder was silent for too long; it may be dead, frozen or cut off, and does not know. */
class Expire extends Command {
  check({ lease }: Readonly<Model>): boolean {
    return lease !== null;
  }
  async act(model: Model): Promise<void> {
    model.lease = null;
  }
}

describe('a part that several workers make', () => {
  const folder = temporaryFolder();

  beforeAll(async () => {
    const { reference } = await quickstartInputs(join(folder, 'inputs'));
    await manySmallParts(join(folder, 'corpus'));
    const settings = parsePack(
      {
        shards: [join(folder, 'corpus/a/*.parquet')],
        out: OUT,
        tokenizer: { path: reference },
        corpus: { part_bytes: 4096 },
        sequence: { length: 64 },
        run: { tokenizer_engine: 'portable' },
      },
      'test',
    );
    const storage = localStorage();
    parts = await openPacking(settings, { storage, sink: () => undefined });
    const { plans } = await planShards(
      storage,
      parts.rows.shards,
      readOptions(settings),
      undefined,
      () => undefined,
    );
    const [first] = tasksOf(plans);
    if (first === undefined) throw new Error('no parts');
    task = first;
    expected = new Map();
    const alone = await start(expected);
    while (!alone.isOver()) await alone.step();
    expect(expected.size).toBe(3);
  });
  afterAll(() => parts.close());

  it('is whole at every moment, never undone once it is reported, and the same bytes in the end', async () => {
    const worker = fc.nat({ max: WORKERS - 1 });
    const commands = fc.commands(
      [
        worker.map((w) => new Take(w)),
        fc.tuple(worker, fc.integer({ min: 1, max: 6 })).map(([w, times]) => new Step(w, times)),
        worker.map((w) => new Kill(w)),
        worker.map((w) => new Expire(w)),
      ],
      { maxCommands: 60, size: 'max' },
    );
    let overlapping = 0;
    await fc.assert(
      fc.asyncProperty(commands, async (some) => {
        const real: Real = { files: new Map(), workers: Array(WORKERS).fill(null) };
        const model: Model = {
          busy: Array(WORKERS).fill(false),
          lease: null,
          reported: false,
          overlapped: false,
        };
        await fc.asyncModelRun(() => ({ model, real }), some);
        if (model.overlapped) overlapping++;
        // Whatever was left, the next worker makes it whole; those that are still about end too.
        const last = await start(real.files);
        while (!last.isOver()) await last.step();
        for (const one of real.workers) while (one !== null && !one.isOver()) await one.step();
        expect([...real.files].sort()).toEqual([...expected].sort());
      }),
      { numRuns: 25 },
    );
    // The runs are worth something only where workers overlap.
    expect(overlapping).toBeGreaterThan(2);
  });
});
