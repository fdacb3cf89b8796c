import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { TokensieveError } from '#tokensieve/errors.js';
import { openCheckpoint } from '#tokensieve/model/checkpoint.js';
import { stagingName } from '#tokensieve/storage/staging.js';
import { loadTrainerState, readCheckpoint, writeCheckpoint } from '#tokensieve/train/checkpoint.js';
import { latestCheckpoint, pruneCheckpoints, sweepCheckpoints } from '#tokensieve/train/checkpoints.js';
import { loadWeights } from '#tokensieve/train/load-weights.js';
import { elementsOf, layOut } from '#tokensieve/train/parameters.js';
import { publishModel } from '#tokensieve/train/publish-model.js';
import { writeRandomCheckpoint } from '../support/checkpoints.js';
import { temporaryFolder } from '../support/quickstart.js';
import { checkpointAt, parameters, progressAt, stateAt } from './checkpoint-at.mjs';

const scratch = temporaryFolder();
let count = 0;
let out: string;
let tokenizerFile: string;
beforeEach(() => {
  out = join(scratch, String(count++));
  mkdirSync(out);
  tokenizerFile = join(out, 'tokenizer.json');
  writeFileSync(tokenizerFile, '{"model":{}}');
});

const write = (step: number): Promise<string> => writeCheckpoint(out, checkpointAt(step, [tokenizerFile]));
const checkpoints = (): string[] => readdirSync(join(out, 'checkpoints')).sort();

function editState(folder: string, edit: (state: Record<string, unknown>) => unknown): void {
  const path = join(folder, 'trainer/state.json');
  writeFileSync(
    path,
    JSON.stringify(edit(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>)),
  );
}

describe('a checkpoint', () => {
  it('is the layout that Hugging Face loaders look for, with the trainer’s state beside it', async () => {
    const folder = await write(123);
    expect(folder).toBe(join(out, 'checkpoints', 'step-00000123'));
    expect(readdirSync(folder).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'trainer',
    ]);
    expect(readdirSync(join(folder, 'trainer')).sort()).toEqual(['moments.safetensors', 'state.json']);
    expect(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))).toEqual({
      architectures: ['LlamaForCausalLM'],
      hidden_size: 64,
      dtype: 'float32',
      torch_dtype: 'float32',
    });
    expect(checkpoints()).toEqual(['step-00000123']);
  });

  it('gives progress, weights and moments back bit for bit', async () => {
    const stored = await readCheckpoint(await write(7));
    expect(stored.state).toMatchObject(progressAt(7));
    expect(await loadTrainerState(stored, parameters)).toEqual(stateAt(7));
  });

  it('is the same bytes each time', async () => {
    const digestOf = async (): Promise<unknown> => {
      const { state } = await readCheckpoint(await write(5));
      rmSync(join(out, 'checkpoints'), { recursive: true });
      return state;
    };
    expect(await digestOf()).toEqual(await digestOf());
  });

  it('replaces one of the same step', async () => {
    const folder = await write(2);
    truncateSync(join(folder, 'model.safetensors'), 100);
    writeFileSync(join(folder, 'stray'), '');
    await write(2);
    expect((await latestCheckpoint(out))?.state.step).toBe(2);
    expect(readdirSync(folder)).not.toContain('stray');
    expect(checkpoints()).toEqual(['step-00000002']);
  });

  it('leaves nothing behind when it cannot be written', async () => {
    await write(1);
    const missing = checkpointAt(2, [join(out, 'nowhere.json')]);
    await expect(writeCheckpoint(out, missing)).rejects.toMatchObject({ reach: 'fatal' });
    const taken = join(out, 'config.json');
    writeFileSync(taken, '{}');
    await expect(writeCheckpoint(out, checkpointAt(2, [taken]))).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringContaining('"config.json"'),
    });
    const progress = { ...progressAt(2), tokens: Number.NaN };
    await expect(writeCheckpoint(out, { ...checkpointAt(2), progress })).rejects.toMatchObject({
      message: expect.stringContaining('field tokens'),
    });
    expect(checkpoints()).toEqual(['step-00000001']);
  });

  it('takes the names that earlier versions kept of a bare start', async () => {
    const stored = await readCheckpoint(await write(4));
    const names = { base: 'whole', embedding: 'whole.embed', head: 'head' };
    const renamed = parameters.map((parameter) => ({ ...parameter, name: `whole.${parameter.name}` }));
    expect(await loadTrainerState(stored, renamed, names)).toEqual(stateAt(4));
    await expect(loadTrainerState(stored, renamed)).rejects.toMatchObject({ code: 'missing-tensor' });
  });

  it('says which parameter is not the model’s', async () => {
    const stored = await readCheckpoint(await write(1));
    const others = layOut([{ name: 'model.norm.weight', shape: [65] }]);
    await expect(loadTrainerState(stored, others)).rejects.toMatchObject({
      code: 'wrong-shape',
      message: expect.stringMatching(/model\.norm\.weight has shape \[64\].*\[65\]/),
    });
    await expect(loadTrainerState(stored, layOut([{ name: 'x', shape: [1] }]))).rejects.toMatchObject({
      code: 'missing-tensor',
    });
  });
});

describe('readCheckpoint refuses', () => {
  const damages: readonly (readonly [string, (folder: string) => void, RegExp])[] = [
    ['no state', (f) => rmSync(join(f, 'trainer/state.json')), /state\.json: is missing/],
    ['state that is not JSON', (f) => truncateSync(join(f, 'trainer/state.json'), 40), /not JSON/],
    ['a huge state', (f) => truncateSync(join(f, 'trainer/state.json'), 2 ** 30), /1073741824 bytes, more/],
    ['a later version', (f) => editState(f, (s) => ({ ...s, version: 2 })), /field version/],
    ['an unknown field', (f) => editState(f, (s) => ({ ...s, spare: 1 })), /spare/],
    ['a negative step', (f) => editState(f, (s) => ({ ...s, step: -1 })), /field step/],
    [
      'a fractional position',
      (f) => editState(f, (s) => ({ ...s, position: { rows: 0.5, sources: [] } })),
      /position\.rows/,
    ],
    ['a hash that is none', (f) => editState(f, (s) => ({ ...s, data_hash: 'x' })), /field data_hash/],
    ['no list of files', (f) => editState(f, (s) => ({ ...s, files: [] })), /no config\.json/],
    ['an array', (f) => editState(f, () => []), /field \(whole\)/],
    ['a missing file', (f) => rmSync(join(f, 'tokenizer.json')), /tokenizer\.json: is missing/],
    [
      'a short file',
      (f) => truncateSync(join(f, 'model.safetensors'), 9),
      /has 9 bytes where state\.json says/,
    ],
    [
      'a long file',
      (f) => appendFileSync(join(f, 'trainer/moments.safetensors'), 'x'),
      /moments\.safetensors: has/,
    ],
    ['a changed byte', flipByte, /model\.safetensors: has sha256/],
    ['a pipe in place of a file', withPipe, /tokenizer\.json: is not a file/],
    ['a file outside of the folder', pointOutside, /files\.0\.name/],
  ];

  it.each(damages)('%s, naming file and field', async (_name, damage, message) => {
    const folder = await write(3);
    damage(folder);
    const error = await readCheckpoint(folder).then(
      () => undefined,
      (thrown: TokensieveError) => thrown,
    );
    expect(error).toMatchObject({ reach: 'fatal', code: 'bad-checkpoint' });
    expect(error?.message).toMatch(message);
    expect(error?.message).toContain(folder);
    expect(await latestCheckpoint(out)).toBe(null);
  });

  function flipByte(folder: string): void {
    const path = join(folder, 'model.safetensors');
    const bytes = readFileSync(path);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(path, bytes);
  }

  function withPipe(folder: string): void {
    rmSync(join(folder, 'tokenizer.json'));
    execFileSync('mkfifo', [join(folder, 'tokenizer.json')]);
  }

  function pointOutside(folder: string): void {
    editState(folder, (state) => ({
      ...state,
      files: (state['files'] as { name: string }[]).map((file) => ({ ...file, name: `../${file.name}` })),
    }));
  }
});

describe('the checkpoints of a run', () => {
  it('are none where nothing was written', async () => {
    expect(await latestCheckpoint(join(out, 'nowhere'))).toBe(null);
    expect(await pruneCheckpoints(join(out, 'nowhere'), 1)).toEqual([]);
    expect(await sweepCheckpoints(join(out, 'nowhere'))).toEqual([]);
  });

  it('the newest that is whole is found, the damaged ones are told of', async () => {
    for (const step of [9, 10, 100_000_000]) await write(step);
    expect((await latestCheckpoint(out))?.state.step).toBe(100_000_000);
    truncateSync(join(out, 'checkpoints/step-100000000/model.safetensors'), 1);
    // A copy under another step's name is not that step.
    cpSync(join(out, 'checkpoints/step-00000009'), join(out, 'checkpoints/step-00000011'), {
      recursive: true,
    });
    const told: string[] = [];
    const latest = await latestCheckpoint(out, ({ message }) => told.push(message));
    expect(latest?.state.step).toBe(10);
    expect(told).toEqual([
      expect.stringContaining('step-100000000'),
      expect.stringMatching(/step-00000011.*field step: 9/),
    ]);
  });

  it('are pruned to the newest, and the newest whole one stays whatever comes after it', async () => {
    for (const step of [1, 2, 3, 4]) await write(step);
    expect(await pruneCheckpoints(out, 3)).toEqual([join(out, 'checkpoints/step-00000001')]);
    for (const step of [3, 4]) rmSync(join(out, `checkpoints/step-0000000${step}/config.json`));
    await pruneCheckpoints(out, 1);
    expect(checkpoints()).toEqual(['step-00000002', 'step-00000004']);
    rmSync(join(out, 'checkpoints/step-00000002/config.json'));
    expect(await pruneCheckpoints(out, 1)).toEqual([]);
    expect(checkpoints()).toHaveLength(2);
  });

  it('lose the leftovers of dead writers, and of these alone', async () => {
    await write(1);
    const mine = stagingName('step-00000002');
    // A process that has ended: its id is free.
    const dead = Number(execFileSync('sh', ['-c', 'echo $$'], { encoding: 'utf8' }));
    const left = mine.replace(`-${process.pid}-`, `-${dead}-`);
    for (const name of [mine, left])
      mkdirSync(join(out, 'checkpoints', name, 'trainer'), { recursive: true });
    mkdirSync(join(out, left));
    expect((await sweepCheckpoints(out)).toSorted()).toEqual(
      [join(out, left), join(out, 'checkpoints', left)].toSorted(),
    );
    expect(checkpoints()).toEqual([mine, 'step-00000001'].sort());
  });
});

describe('OUT/model', () => {
  it('is the checkpoint without the trainer’s state, sharing its bytes, and outlives it', async () => {
    const stored = await readCheckpoint(await write(1));
    const model = await publishModel(out, stored);
    expect(readdirSync(model).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    const weights = readFileSync(join(stored.folder, 'model.safetensors'));
    expect(statSync(join(model, 'model.safetensors')).nlink).toBe(2);
    rmSync(stored.folder, { recursive: true });
    expect(readFileSync(join(model, 'model.safetensors'))).toEqual(weights);
  });

  it('takes new weights by one rename, and is left alone by the same ones', async () => {
    const first = await readCheckpoint(await write(1));
    const model = await publishModel(out, first);
    const { ino } = statSync(model);
    const second = await readCheckpoint(await write(2));
    for (let times = 0; times < 2; times++) {
      await publishModel(out, second);
      expect(statSync(model).ino).toBe(ino);
      expect(readFileSync(join(model, 'model.safetensors'))).toEqual(
        readFileSync(join(second.folder, 'model.safetensors')),
      );
      expect(readdirSync(model).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    }
  });

  it('is replaced whole where more than the weights differs', async () => {
    const model = await publishModel(out, await readCheckpoint(await write(1)));
    writeFileSync(tokenizerFile, '{"model":{"other":1}}');
    const second = await readCheckpoint(await write(2));
    await publishModel(out, second);
    expect(readFileSync(join(model, 'tokenizer.json'), 'utf8')).toBe('{"model":{"other":1}}');
    rmSync(tokenizerFile);
    const third = await readCheckpoint(await writeCheckpoint(out, checkpointAt(3)));
    await publishModel(out, third);
    expect(readdirSync(model).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(readdirSync(out).sort()).toEqual(['checkpoints', 'model']);
    expect(existsSync(join(second.folder, 'tokenizer.json'))).toBe(true);
  });
});

describe('loadWeights', () => {
  it.each(['F32', 'F16', 'BF16'] as const)(
    'puts %s weights of sharded files in their places',
    async (dtype) => {
      const folder = join(out, 'start');
      writeRandomCheckpoint(folder, { architecture: 'LlamaForCausalLM', seed: 4, dtype, shards: 3 });
      const checkpoint = await openCheckpoint(folder);
      const laidOut = layOut([...checkpoint.tensors.values()].map(({ name, shape }) => ({ name, shape })));
      const vectors = await loadWeights(checkpoint, laidOut);
      // Written anew as F32 and loaded again, they are the same: exact, and each in its own place.
      const written = await writeCheckpoint(out, {
        ...checkpointAt(1),
        parameters: laidOut,
        state: { weights: vectors, firstMoment: vectors, secondMoment: vectors },
      });
      rmSync(join(folder, 'model.safetensors.index.json'));
      linkSync(join(written, 'model.safetensors'), join(folder, 'model.safetensors'));
      const again = await loadWeights(await openCheckpoint(folder), laidOut.toReversed());
      expect(again).toEqual(vectors);
      const sums = laidOut.map((parameter) =>
        elementsOf(vectors, parameter).reduce((a, b) => a + Math.abs(b), 0),
      );
      expect(sums.every((sum) => sum > 0)).toBe(true);
    },
  );

  it('says which tensor is missing before anything is read', async () => {
    const folder = join(out, 'start');
    writeRandomCheckpoint(folder, { architecture: 'GPT2LMHeadModel', seed: 1 });
    const checkpoint = await openCheckpoint(folder);
    renameSync(join(folder, 'model.safetensors'), join(folder, 'gone'));
    await expect(loadWeights(checkpoint, layOut([{ name: 'nope', shape: [1] }]))).rejects.toMatchObject({
      code: 'missing-tensor',
      message: expect.stringContaining(`${folder}: tensor nope`),
    });
  });
});
