import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import type { TrainEvent } from '#tokensieve/train/events.js';
import { checkMemory } from '#tokensieve/train/memory.js';
import { type TrainInput, trainSchema } from '#tokensieve/train/settings.js';
import { type TrainReport, trainRun } from '#tokensieve/train/train-run.js';
import { digestFolder } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';
import { tinyLlama } from '../support/training.js';

const folder = temporaryFolder();
const config = join(folder, 'config.json');
const gpt2Config = join(folder, 'gpt2', 'config.json');
const scored = join(folder, 'scored');
let inputs: QuickstartInputs;

beforeAll(async () => {
  inputs = await quickstartInputs(join(folder, 'inputs'));
  const shards = await manySmallParts(join(folder, 'corpus'));
  const score = ['score', '--shards', shards, '--sequence-length', '64', '--device', 'cpu', '--threads', '1'];
  const both = ['--reference', inputs.reference, '--current', inputs.current];
  expect((await cliHere([...score, ...both, '--log', 'none', '--out', scored])).code).toBe(3);
  expect(
    (
      await cliHere([
        ...score,
        '--log',
        'none',
        '--current',
        inputs.current,
        '--out',
        join(folder, 'current'),
      ])
    ).code,
  ).toBe(3);
  expect((await cliHere(['select', scored, '--method', 'slm', '--log', 'none'])).code).toBe(0);
  writeFileSync(config, JSON.stringify({ ...tinyLlama, vocab_size: 512 }));
  mkdirSync(join(folder, 'gpt2'));
  writeFileSync(
    gpt2Config,
    JSON.stringify({
      architectures: ['GPT2LMHeadModel'],
      model_type: 'gpt2',
      vocab_size: 512,
      n_embd: 32,
      n_layer: 2,
      n_head: 4,
      n_positions: 64,
    }),
  );
}, 120_000);

type Sections = Partial<Omit<TrainInput, 'out'>>;

async function train(
  name: string,
  sections: Sections = {},
  signal: AbortSignal = new AbortController().signal,
  sink: (event: TrainEvent) => void = () => undefined,
  replace = false,
): Promise<TrainReport> {
  const settings = parseSettings(
    trainSchema,
    {
      out: join(folder, name),
      model: { config, tokenizer: inputs.reference },
      data: { sources: [join(scored, 'scored')] },
      batch: { rows: 4, steps: 6 },
      run: { device: 'cpu', threads: 1, checkpoint_every: 2 },
      ...sections,
    },
    'test',
  );
  return trainRun(settings, { storage: localStorage(), sink, signal, replace });
}

const linesOf = (name: string): Record<string, unknown>[] =>
  readFileSync(join(folder, name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const weightsOf = (report: TrainReport): Buffer => readFileSync(join(report.model, 'model.safetensors'));

describe('a run', () => {
  it('learns, and leaves a model, metrics, events and a report', async () => {
    const events: TrainEvent[] = [];
    const report = await train(
      'learns',
      {
        batch: { rows: 8, steps: 40 },
        optimizer: { learning_rate: 1e-2 },
        held_out: { sources: { same: join(scored, 'scored') }, every: 20, tokens: 2000 },
      },
      undefined,
      (event) => events.push(event),
    );
    const lines = linesOf('learns');
    const losses = lines.map(({ loss }) => Number(loss));
    expect(lines).toHaveLength(40);
    // ln 512 = 6.24 nats before anything is learnt.
    expect(losses[0]).toBeGreaterThan(6);
    expect(losses.at(-1)).toBeLessThan(5.4);
    expect(lines.filter(({ held_out }) => held_out !== undefined).map(({ step }) => step)).toEqual([20, 40]);
    expect(lines[39]).toMatchObject({ held_out: { same: expect.closeTo(5, 0) } });
    expect(events.filter(({ event }) => event === 'step')).toHaveLength(40);
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json']) {
      expect(existsSync(join(report.model, name)), name).toBe(true);
    }
    expect(readFileSync(join(folder, 'learns', 'report.html'), 'utf8')).toContain('<svg');
  });

  it.each(['live', 'frozen', 'refresh'] as const)('trains on selected tokens, %s', async (selection) => {
    const source = join(scored, selection === 'frozen' ? 'weighted' : 'scored');
    await train(`slm-${selection}`, {
      data: { sources: [source] },
      loss: { kind: 'slm', selection, keep: 0.6, refresh_tokens: 500 },
    });
    for (const { kept, eligible, loss, loss_selected, loss_unselected } of linesOf(`slm-${selection}`)) {
      const [keptCount, all] = [Number(kept), Number(eligible)];
      if (selection !== 'frozen') expect(keptCount).toBe(Math.floor(0.6 * all + 1e-9));
      const whole = (keptCount * Number(loss_selected) + (all - keptCount) * Number(loss_unselected)) / all;
      expect(whole).toBeCloseTo(Number(loss), 4);
    }
  });

  it('trains GPT-2 from scratch', async () => {
    await train('gpt2', {
      model: { config: gpt2Config, tokenizer: inputs.reference },
      batch: { rows: 8, steps: 30 },
      optimizer: { learning_rate: 1e-2 },
    });
    const losses = linesOf('gpt2').map(({ loss }) => Number(loss));
    expect(losses.at(-1)).toBeLessThan(Number(losses[0]) - 1);
  });

  it('goes on from a checkpoint folder as a new run', async () => {
    const first = await train('first');
    const second = await train('second', { model: { start: first.model }, batch: { rows: 4, steps: 1 } });
    const [start] = linesOf('second');
    expect(Number(start?.['loss'])).toBeLessThan(6.3);
    expect(weightsOf(second).equals(weightsOf(first))).toBe(false);
  });

  it('is the same for the same seeds, and another for others', async () => {
    const [a, b, c, d] = [
      await train('seed-a'),
      await train('seed-b'),
      await train('seed-c', { data: { sources: [join(scored, 'scored')], seed: 1 } }),
      await train('seed-d', { model: { config, tokenizer: inputs.reference, seed: 1 } }),
    ].map(weightsOf);
    expect(a?.equals(b ?? Buffer.of())).toBe(true);
    expect(a?.equals(c ?? Buffer.of())).toBe(false);
    expect(a?.equals(d ?? Buffer.of())).toBe(false);
  });

  it('counts steps from tokens and from epochs', async () => {
    // Rows of 64 ids have 63 targets at most.
    expect((await train('tokens', { batch: { rows: 4, tokens: 1000 } })).steps).toBe(
      Math.ceil(1000 / (4 * 63)),
    );
    expect((await train('epochs', { batch: { rows: 64, epochs: 0.1 } })).steps).toBeGreaterThan(0);
  });
});

describe('a stop', () => {
  it.each(['live', 'refresh'] as const)(
    'by a signal writes a checkpoint and resumes to the same bits, %s',
    async (selection) => {
      const sections: Sections = {
        loss: { kind: 'slm', selection, refresh_tokens: 700 },
        batch: { rows: 4, accumulate: 2, steps: 9 },
        run: { device: 'cpu', checkpoint_every: 100 },
      };
      const whole = await train(`whole-${selection}`, sections);
      const controller = new AbortController();
      const reason = new Error('stop');
      const stopped = train(`stopped-${selection}`, sections, controller.signal, (event) => {
        if (event.event === 'step' && event.step === 3) controller.abort(reason);
      });
      await expect(stopped).rejects.toBe(reason);
      const resumed = await train(`stopped-${selection}`, sections);
      expect(resumed.resumed).toBeGreaterThanOrEqual(3);
      expect(weightsOf(resumed).equals(weightsOf(whole))).toBe(true);
      expect(linesOf(`stopped-${selection}`).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    },
  );

  it.each(['bf16', 'fp16'] as const)(
    'in %s goes on to the same bits, with its loss scale',
    async (precision) => {
      const sections: Sections = {
        compute: { precision, loss_scale: 2 ** 24 },
        loss: { kind: 'slm', selection: 'live' },
        batch: { rows: 4, accumulate: 2, steps: 9 },
        held_out: { sources: { same: join(scored, 'scored') }, tokens: 500 },
        run: { device: 'cpu', checkpoint_every: 100, steps_per_call: 2 },
      };
      const whole = await train(`whole-${precision}`, sections);
      const name = `stopped-${precision}`;
      const controller = new AbortController();
      const stopped = train(name, sections, controller.signal, (event) => {
        if (event.event === 'step' && event.step === 3) controller.abort(new Error('stop'));
      });
      await expect(stopped).rejects.toThrow('stop');
      await expect(train(name, { ...sections, compute: { precision: 'fp32' } })).rejects.toMatchObject({
        code: 'other-settings',
      });
      const resumed = await train(name, sections);
      expect(resumed.resumed).toBe(4);
      expect(weightsOf(resumed).equals(weightsOf(whole))).toBe(true);
      const state = JSON.parse(
        readFileSync(join(folder, name, 'checkpoints/step-00000009/trainer/state.json'), 'utf8'),
      ) as { extra: Record<string, Record<string, unknown>> };
      expect(state.extra['numeric_profile']).toMatchObject({ precision });
      const lines = linesOf(name);
      if (precision === 'bf16') {
        expect(state.extra['loss_scaling']).toBeUndefined();
        expect(lines[0]).not.toHaveProperty('loss_scale');
        return;
      }
      // Too high a scale to begin with: steps are skipped until one holds.
      const skipped = lines.filter(({ gradient_norm: norm }) => norm === null).length;
      expect(skipped).toBeGreaterThan(1);
      expect(skipped).toBeLessThan(9);
      expect(lines[1]).toMatchObject({ loss_scale: 2 ** 23, skipped_steps: 2, gradient_norm: null });
      expect(state.extra['loss_scaling']).toMatchObject({
        loss_scale: 2 ** (24 - skipped),
        taken_steps: 9 - skipped,
        skipped_steps: skipped,
      });
    },
  );

  it('between two rankings says from where the run goes on, and ends with the same bits', async () => {
    const sections: Sections = {
      loss: { kind: 'slm', selection: 'refresh', refresh_tokens: 2016 },
      batch: { rows: 4, accumulate: 2, steps: 9 },
      run: { device: 'cpu', checkpoint_every: 4 },
    };
    const whole = await train('whole-between', sections);
    const controller = new AbortController();
    const warnings: string[] = [];
    const stopped = train('between', sections, controller.signal, (event) => {
      if (event.event === 'step' && event.step === 6) controller.abort(new Error('stop'));
      if (event.event === 'warning') warnings.push(event.message);
    });
    await expect(stopped).rejects.toThrow('stop');
    expect(warnings).toEqual([expect.stringMatching(/between two rankings.*step-0*4,.*taken again/)]);
    const resumed = await train('between', sections);
    expect(resumed.resumed).toBe(4);
    expect(weightsOf(resumed).equals(weightsOf(whole))).toBe(true);
  });

  it('is told when the run goes on under another numeric profile', async () => {
    const sections = (threads: number): Sections => ({
      batch: { rows: 4, steps: 6 },
      run: { device: 'cpu', checkpoint_every: 2, threads },
    });
    const warningsOf = async (threads: number, stopAt?: number): Promise<readonly string[]> => {
      const controller = new AbortController();
      const warnings: string[] = [];
      const run = train('moved', sections(threads), controller.signal, (event) => {
        if (event.event === 'step' && event.step === stopAt) controller.abort(new Error('stop'));
        if (event.event === 'warning') warnings.push(event.message);
      });
      await (stopAt === undefined ? run : expect(run).rejects.toThrow('stop'));
      return warnings;
    };
    expect(await warningsOf(1, 2)).toEqual([]);
    expect(await warningsOf(1, 4)).toEqual([]);
    expect(await warningsOf(2)).toEqual([expect.stringMatching(/from step 4 .*threads: 1 → 2/)]);
  });

  it('several steps a call end with the weights of one a call', async () => {
    const one = await train('call-1', { batch: { rows: 4, steps: 7 } });
    const three = await train('call-3', {
      batch: { rows: 4, steps: 7 },
      run: { device: 'cpu', checkpoint_every: 5, steps_per_call: 3 },
    });
    expect(weightsOf(three).equals(weightsOf(one))).toBe(true);
  });

  it('a finished run is not trained again', async () => {
    await train('finished');
    rmSync(join(folder, 'finished', 'model'), { recursive: true });
    const again = await train('finished');
    expect(again).toMatchObject({ resumed: 6, last: null });
    expect(existsSync(join(again.model, 'model.safetensors'))).toBe(true);
  });

  it('damage to every checkpoint is not taken for a new run', async () => {
    await train('damaged');
    const checkpoints = join(folder, 'damaged', 'checkpoints');
    for (const name of readdirSync(checkpoints))
      writeFileSync(join(checkpoints, name, 'model.safetensors'), '');
    const metrics = readFileSync(join(folder, 'damaged', 'metrics.jsonl'), 'utf8');
    await expect(train('damaged')).rejects.toMatchObject({ code: 'bad-checkpoint' });
    expect(readFileSync(join(folder, 'damaged', 'metrics.jsonl'), 'utf8')).toBe(metrics);
  });

  it('an exploding loss names step, rows and the last good checkpoint', async () => {
    const exploding = train('explodes', {
      batch: { rows: 4, steps: 50 },
      optimizer: { learning_rate: 10, clip: 1e9 },
      run: { device: 'cpu', checkpoint_every: 1, max_loss: 20 },
    });
    await expect(exploding).rejects.toMatchObject({ code: 'diverged' });
    await expect(exploding).rejects.toThrow(/^step \d+: .*part \d+ row \d+ .*step-0000/);
  });
});

describe('refusals', () => {
  it.each([
    ['no-reference-loss', { data: { sources: ['current/scored'] }, loss: { kind: 'slm' } }],
    ['no-weights', { data: { sources: ['scored/scored'] }, loss: { kind: 'slm', selection: 'frozen' } }],
  ] as const)('%s', async (code, sections) => {
    const sources = sections.data.sources.map((name) => join(folder, name));
    const refused = train(`refused-${code}`, { loss: sections.loss, data: { sources } });
    await expect(refused).rejects.toMatchObject({ code, reach: 'usage' });
  });

  it('another tokenizer', async () => {
    const other = join(folder, 'other');
    mkdirSync(other, { recursive: true });
    const json = JSON.parse(readFileSync(join(inputs.reference, 'tokenizer.json'), 'utf8')) as {
      model: { merges: unknown[] };
    };
    json.model.merges.pop();
    writeFileSync(join(other, 'tokenizer.json'), JSON.stringify(json));
    await expect(train('tokenizer', { model: { config, tokenizer: other } })).rejects.toMatchObject({
      code: 'tokenizers-differ',
    });
  });

  it('a model with fewer logits than the tokenizer has ids', async () => {
    const small = join(folder, 'small.json');
    writeFileSync(small, JSON.stringify({ ...tinyLlama, vocab_size: 500 }));
    await expect(
      train('small', { model: { config: small, tokenizer: inputs.reference } }),
    ).rejects.toMatchObject({ code: 'vocabulary-mismatch' });
  });

  it('rows longer than the model', async () => {
    const short = join(folder, 'short.json');
    writeFileSync(short, JSON.stringify({ ...tinyLlama, vocab_size: 512, max_position_embeddings: 32 }));
    await expect(
      train('long', { model: { config: short, tokenizer: inputs.reference } }),
    ).rejects.toMatchObject({ code: 'sequence-too-long' });
  });

  it('an output folder of other settings', async () => {
    await train('other-settings');
    await expect(train('other-settings', { optimizer: { learning_rate: 1e-5 } })).rejects.toMatchObject({
      code: 'other-settings',
      message: expect.stringContaining('--replace'),
    });
  });

  it('an output folder whose checkpoints are all damaged; either begins again with replace, and a run of the same settings goes on', async () => {
    const redo = (name: string, rate: number) =>
      train(name, { optimizer: { learning_rate: rate } }, undefined, undefined, true);
    const clean = await redo('redone-clean', 2e-3);
    expect(await redo('redone', 1e-3)).toMatchObject({ resumed: 0 });
    const other = await redo('redone', 2e-3);
    expect(other.resumed).toBe(0);
    expect(weightsOf(other).equals(weightsOf(clean))).toBe(true);
    expect(linesOf('redone')).toHaveLength(6);
    expect(readdirSync(join(folder, 'redone/tensorboard'))).toHaveLength(1);
    expect(await redo('redone', 2e-3)).toMatchObject({ resumed: 6, last: null });
    for (const name of readdirSync(join(folder, 'redone/checkpoints'))) {
      writeFileSync(join(folder, 'redone/checkpoints', name, 'trainer/state.json'), 'damaged');
    }
    const learns = { optimizer: { learning_rate: 2e-3 } };
    await expect(train('redone', learns)).rejects.toMatchObject({ code: 'bad-checkpoint' });
    expect(weightsOf(await redo('redone', 2e-3)).equals(weightsOf(clean))).toBe(true);
  });

  it('an output folder whose checkpoints were taken away, unless it is to be replaced', async () => {
    await train('stripped');
    const clean = linesOf('stripped').length;
    rmSync(join(folder, 'stripped/checkpoints'), { recursive: true });
    const before = digestFolder(join(folder, 'stripped'));
    await expect(train('stripped')).rejects.toMatchObject({
      code: 'no-checkpoint',
      message: expect.stringMatching(/stripped\/model: .*--replace/),
    });
    expect(digestFolder(join(folder, 'stripped'))).toEqual(before);
    expect(await train('stripped', {}, undefined, undefined, true)).toMatchObject({ resumed: 0 });
    expect(linesOf('stripped')).toHaveLength(clean);
  });

  it('with replace leaves the run that is there whole, where the one in its place cannot begin', async () => {
    await train('kept');
    const before = digestFolder(join(folder, 'kept'));
    const redo = (sections: Sections) => train('kept', sections, undefined, undefined, true);
    await expect(redo({ model: { start: join(folder, 'kept/model') } })).rejects.toMatchObject({
      code: 'replaces-input',
    });
    const missing = { held_out: { sources: { x: join(folder, 'nowhere') } } };
    await expect(redo({ ...missing, optimizer: { learning_rate: 1e-5 } })).rejects.toThrow('nowhere');
    expect(digestFolder(join(folder, 'kept'))).toEqual(before);
  });

  it('a model that does not fit, with the arithmetic', () => {
    expect(() => checkMemory(7e9, 80e9)).toThrow(
      /7\.00B parameters × 16 bytes .* = 112\.0 GB, the device has 80\.0 GB/,
    );
    expect(() => checkMemory(7e9, 120e9, 'bf16')).toThrow(
      /× 18 bytes \(weights 4, their bf16 copy 2, .* = 126\.0 GB/,
    );
    expect(() => checkMemory(7e9, 120e9)).not.toThrow();
  });

  it('settings that say nothing, or two things', async () => {
    const cli = await cliHere(['train', '--out', join(folder, 'x'), '--data', scored, '--steps', '3']);
    expect(cli.code).toBe(2);
    expect(cli.stderr).toContain('model.start');
    const both = await cliHere([
      ...[
        'train',
        '--out',
        join(folder, 'x'),
        '--data',
        scored,
        '--steps',
        '3',
        '--tokens',
        '9',
        '--start',
        'm',
      ],
    ]);
    expect(both.code).toBe(2);
    expect(both.stderr).toContain('batch.steps');
  });
});
