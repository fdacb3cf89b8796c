import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareModel } from '#tokensieve/model/prepare.js';
import { loadTrainerState, readCheckpoint } from '#tokensieve/train/checkpoint.js';
import { elementsOf } from '#tokensieve/train/parameters.js';
import { scalarsOf } from '#tokensieve/train/tensorboard.js';
import { metricsAt, parameters, writeFixture } from '../../fixtures/trainer/write.mjs';
import { runPrepared } from '../support/oracle-run.js';
import { temporaryFolder } from '../support/quickstart.js';

/** What Python read, as fixtures/trainer/read.py wrote it down. */
interface Golden {
  readonly sha256: Readonly<Record<string, string>>;
  readonly events_sha256: readonly string[];
  readonly weights: TensorFile;
  readonly moments: TensorFile;
  readonly model: {
    readonly class: string;
    readonly dtype: string;
    readonly missing: readonly string[];
    readonly unexpected: readonly string[];
    readonly tokenizer_agrees: boolean;
    readonly rows: readonly (readonly number[])[];
    readonly losses: readonly (readonly number[])[];
  };
  readonly events: {
    readonly file_version: number;
    readonly first_wall_time: number;
    readonly scalars: Readonly<Record<string, readonly (readonly [number, number])[]>>;
  };
}
interface TensorFile {
  readonly metadata: unknown;
  readonly tensors: Readonly<Record<string, readonly [string, readonly number[], string]>>;
}

const golden = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/trainer/golden.json', import.meta.url)), 'utf8'),
) as Golden;

const scratch = temporaryFolder();
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let folder: string;
beforeAll(async () => {
  folder = await writeFixture(join(scratch, 'out'));
});

describe('a checkpoint that was read by safetensors and transformers', () => {
  it('is the one that is written now', () => {
    const found = Object.keys(golden.sha256).map((name) => [name, sha256(readFileSync(join(folder, name)))]);
    expect(Object.fromEntries(found)).toEqual(golden.sha256);
    expect(found).toHaveLength(5);
  });

  it('has for safetensors the names, shapes and bytes that were written', async () => {
    const state = await loadTrainerState(await readCheckpoint(folder), parameters);
    const expected = (prefix: string, vectors: typeof state.weights) =>
      parameters.map((parameter) => {
        const { buffer, byteOffset, byteLength } = elementsOf(vectors, parameter);
        const bytes = new Uint8Array(buffer, byteOffset, byteLength);
        return [prefix + parameter.name, ['torch.float32', parameter.shape, sha256(bytes)]] as const;
      });
    expect(golden.weights.metadata).toEqual({ format: 'pt' });
    expect(golden.weights.tensors).toEqual(Object.fromEntries(expected('', state.weights)));
    expect(golden.moments.tensors).toEqual(
      Object.fromEntries([
        ...expected('first_moment.', state.firstMoment),
        ...expected('second_moment.', state.secondMoment),
      ]),
    );
  });

  it('is for transformers a float32 model with its tokenizer, of the losses that it has here', async () => {
    const { model } = golden;
    expect(model).toMatchObject({
      class: 'LlamaForCausalLM',
      dtype: 'torch.float32',
      missing: [],
      unexpected: [],
      tokenizer_agrees: true,
    });
    const prepared = await prepareModel(folder, {
      device: 'cpu',
      attention: 'across',
      entropy: false,
      cacheFolder: join(scratch, 'cache'),
    });
    const { loss } = await runPrepared(
      prepared,
      model.rows.map((ids) => ({ ids })),
    );
    const gaps = model.losses.flatMap((row, r) => row.map((value, t) => Math.abs(value - loss[r]![t]!)));
    expect(gaps).toHaveLength(57);
    expect(Math.max(...gaps)).toBeLessThan(1e-4);
    expect(gaps.some(Number.isNaN)).toBe(false);
  });
});

describe('event files that were read by TensorBoard', () => {
  it('are the ones that are written now', () => {
    const events = join(scratch, 'out/events');
    const digests = readdirSync(events)
      .sort()
      .map((name) => sha256(readFileSync(join(events, name))));
    expect(digests).toEqual(golden.events_sha256);
  });

  it('showed the resumed run: every step once, none of what came after the checkpoint before the kill', () => {
    const { events } = golden;
    const expected: Record<string, [number, number][]> = {};
    for (let step = 1; step <= 8; step++) {
      // Before the resumption at step 5 the fixture's selected loss is 9.
      const metrics = step < 5 ? { ...metricsAt(step), loss_selected: 9 } : metricsAt(step);
      for (const [tag, value] of scalarsOf(metrics)) {
        expected[tag] ??= [];
        expected[tag].push([step, Math.fround(value)]);
      }
    }
    expect(events.scalars).toEqual(expected);
    expect(Object.keys(expected)).toHaveLength(9);
    expect(events).toMatchObject({ file_version: 2, first_wall_time: 1_764_000_000.5 });
  });
});
