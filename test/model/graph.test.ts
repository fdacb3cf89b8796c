import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareModel } from '#tokensieve/model/prepare.js';
import type { GraphSettings, PreparedModel } from '#tokensieve/model/prepared-model.js';
import { sessionOptions } from '#tokensieve/model/session-options.js';
import {
  defaults,
  type TestArchitecture,
  type TestWeightType,
  writeRandomCheckpoint,
} from '../support/checkpoints.js';

// What must hold of every graph whatever the model computes. That it computes the right model is for the oracles.
const scratch = mkdtempSync(join(tmpdir(), 'graph-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const cacheFolder = join(scratch, 'cache');

const across: GraphSettings = { device: 'cpu', attention: 'across', entropy: true, cacheFolder };
const within: GraphSettings = { ...across, attention: 'within' };

interface Losses {
  readonly loss: Float32Array;
  readonly entropy: Float32Array;
}

/** A session that scores rows of equal length, [rows, T − 1] each. */
async function open(prepared: PreparedModel, threads = 1) {
  const session = await InferenceSession.create(
    prepared.graphPath,
    sessionOptions(prepared, { device: 'cpu', threads }),
  );
  return {
    async losses(rows: readonly Int32Array[], documents?: readonly Int32Array[]): Promise<Losses> {
      const dims = [rows.length, rows[0]!.length];
      const tensor = (columns: readonly Int32Array[]): Tensor =>
        new Tensor('int32', Int32Array.from(columns.flatMap((column) => [...column])), dims);
      const feeds: Record<string, Tensor> = { input_ids: tensor(rows) };
      if (documents !== undefined) {
        feeds['document_ids'] = tensor(documents);
        feeds['position_ids'] = tensor(documents.map(positionsOf));
      }
      const results = await session.run(feeds);
      const read = (name: string): Float32Array => {
        expect(results[name]?.dims).toEqual([rows.length, dims[1]! - 1]);
        return Float32Array.from(results[name]?.data as Float32Array);
      };
      return { loss: read('loss'), entropy: read('entropy') };
    },
    close: () => session.release(),
  };
}

/** Positions that restart with every document. */
function positionsOf(documents: Int32Array): Int32Array {
  let start = 0;
  return documents.map((document, t) => {
    if (document !== documents[t - 1]) start = t;
    return t - start;
  });
}

const row = (length: number, seed: number): Int32Array =>
  Int32Array.from({ length }, (_, t) => (t * t * 7 + t * 31 + seed * 53) % 131);

function farthest(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  expect(a.every(Number.isFinite)).toBe(true);
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}

const architectures = Object.keys(defaults) as TestArchitecture[];

describe.each(architectures)('%s', (architecture) => {
  const folder = join(scratch, architecture);
  let prepared: PreparedModel;
  let session: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    writeRandomCheckpoint(folder, { architecture, seed: 5 });
    prepared = await prepareModel(folder, across);
    session = await open(prepared);
  });
  afterAll(() => session.close());

  it.each([2, 3, 40, 256])('scores rows of %d: a token depends on those before it alone', async (length) => {
    const one = await session.losses([row(length, 1)]);
    const changed = row(length, 1);
    const at = length - 1;
    changed[at] = (changed[at]! + 1) % 131;
    const other = await session.losses([changed]);
    expect(other.loss.subarray(0, at - 1)).toEqual(one.loss.subarray(0, at - 1));
    expect(other.entropy).toEqual(one.entropy);
    expect(other.loss[at - 1]).not.toBe(one.loss[at - 1]);
  });

  it.each([17, 256])(
    'gives a row of %d the same bits in any batch, by any number of threads',
    async (length) => {
      const rows = [1, 2, 3, 4, 5].map((seed) => row(length, seed));
      const batch = await session.losses(rows);
      const threaded = await open(prepared, 3);
      expect(await threaded.losses(rows)).toEqual(batch);
      await threaded.close();
      for (const [r, each] of rows.entries()) {
        const alone = await session.losses([each]);
        expect(alone.loss).toEqual(batch.loss.subarray(r * (length - 1), (r + 1) * (length - 1)));
      }
    },
  );

  it.each([30, 256])('keeps documents apart within rows of %d', async (length) => {
    const cuts = [0, 1, 2, 9, length - 8, length];
    const documents = Int32Array.from({ length }, (_, t) => cuts.findIndex((cut) => cut > t));
    const apart = await open(await prepareModel(folder, within));
    const ids = row(length, 3);
    // A second row of one document, so that each row needs its own mask.
    const { loss, entropy } = await apart.losses([ids, ids], [documents, new Int32Array(length).fill(7)]);
    await apart.close();
    for (let d = 0; d + 1 < cuts.length; d++) {
      const [start, end] = [cuts[d]!, cuts[d + 1]!];
      if (end - start < 2) continue;
      const alone = await session.losses([ids.slice(start, end)]);
      expect(farthest(alone.loss, loss.slice(start, end - 1))).toBeLessThan(2e-5);
      expect(farthest(alone.entropy, entropy.slice(start, end - 1))).toBeLessThan(2e-5);
    }
    const whole = await session.losses([ids]);
    expect(farthest(whole.loss, loss.slice(length - 1))).toBeLessThan(2e-5);
  });

  it('computes the same in the standard operators that other devices get', async () => {
    const elsewhere = await prepareModel(folder, { ...across, device: 'cuda' });
    expect(elsewhere.graphPath).not.toBe(prepared.graphPath);
    const plain = await open(elsewhere);
    const rows = [row(256, 1), row(256, 2)];
    const [a, b] = [await plain.losses(rows), await session.losses(rows)];
    await plain.close();
    expect(farthest(a.loss, b.loss)).toBeLessThan(2e-5);
    expect(farthest(a.entropy, b.entropy)).toBeLessThan(2e-5);
  });

  it.each(['F16', 'BF16'] as const satisfies TestWeightType[])(
    'computes %s weights in float32, from one file or several',
    async (dtype) => {
      const checkpoints = [1, 3].map((shards) => {
        const at = join(scratch, `${architecture}-${dtype}-${shards}`);
        writeRandomCheckpoint(at, { architecture, seed: 5, dtype, shards });
        return at;
      });
      const results: Losses[] = [];
      for (const each of checkpoints) {
        const model = await prepareModel(each, across);
        expect(model.info.weightType).toBe(dtype);
        const opened = await open(model);
        results.push(await opened.losses([row(40, 1)]));
        await opened.close();
      }
      expect(results[0]).toEqual(results[1]);
      const full = await session.losses([row(40, 1)]);
      const gap = farthest(results[0]!.loss, full.loss);
      expect(gap).toBeGreaterThan(0);
      expect(gap).toBeLessThan(dtype === 'F16' ? 0.05 : 0.4);
    },
  );
});

describe('prepareModel', () => {
  const build = `
    import { prepareModel } from '#tokensieve/model/prepare.js';
    const [folder, cacheFolder] = process.argv.slice(1);
    const settings = { device: 'cpu', attention: 'across', entropy: false, cacheFolder };
    const paths = await Promise.all([1, 2, 3, 4].map(() => prepareModel(folder, settings)));
    console.log(JSON.stringify([...new Set(paths.map(({ graphPath }) => graphPath))]));`;

  it('may be called by many at once: one graph comes out, whole', async () => {
    const folder = join(scratch, 'shared');
    writeRandomCheckpoint(folder, { architecture: 'LlamaForCausalLM', seed: 6, shards: 2 });
    const cache = join(scratch, 'shared-cache');
    const outputs = await Promise.all(
      [1, 2, 3].map(() =>
        promisify(execFile)(process.execPath, ['--input-type=module', '-e', build, folder, cache], {
          cwd: process.cwd(),
        }),
      ),
    );
    const paths = new Set(outputs.flatMap(({ stdout }) => JSON.parse(stdout) as string[]));
    expect(paths.size).toBe(1);
    const [path = ''] = paths;
    expect(readdirSync(join(path, '..'))).toEqual(['model.onnx']);
    const prepared = await prepareModel(folder, { ...across, entropy: false, cacheFolder: cache });
    expect(prepared.graphPath).toBe(path);
    const session = await InferenceSession.create(
      path,
      sessionOptions(prepared, { device: 'cpu', threads: 1 }),
    );
    expect(session.outputNames).toEqual(['loss']);
    await session.release();
  });

  it('writes nothing into a checkpoint, holds no weights itself, and follows links to them', async () => {
    const folder = join(scratch, 'blobs');
    writeRandomCheckpoint(folder, { architecture: 'LlamaForCausalLM', seed: 7 });
    const before = readdirSync(folder);
    const linked = join(scratch, 'snapshot');
    mkdirSync(linked);
    for (const name of before) symlinkSync(join('..', 'blobs', name), join(linked, name));
    chmodSync(linked, 0o555);
    const prepared = await prepareModel(linked, across);
    expect(readdirSync(folder)).toEqual(before);
    expect(readdirSync(linked)).toEqual(before);
    expect(readFileSync(prepared.graphPath).length).toBeLessThan(prepared.info.weightBytes);
    const [direct, through] = await Promise.all(
      [prepareModel(folder, across), prepared].map(async (p) => open(await p)),
    );
    expect(await through!.losses([row(20, 1)])).toEqual(await direct!.losses([row(20, 1)]));
    chmodSync(linked, 0o755);
  });

  it('gives each setting its own graph', async () => {
    const folder = join(scratch, 'LlamaForCausalLM');
    const paths = await Promise.all(
      [across, within, { ...across, entropy: false }, across].map((each) => prepareModel(folder, each)),
    );
    expect(new Set(paths.map(({ graphPath }) => graphPath)).size).toBe(3);
  });
});
