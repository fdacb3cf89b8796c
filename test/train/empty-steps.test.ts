/** Steps that keep no token: nothing moves, nothing is claimed, and it is told before and after. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { readSafetensorsHeader } from '#tokensieve/model/safetensors.js';
import { localStorage } from '#tokensieve/storage/local.js';
import type { TrainEvent } from '#tokensieve/train/events.js';
import { type TrainInput, trainSchema } from '#tokensieve/train/settings.js';
import { type TrainReport, trainRun } from '#tokensieve/train/train-run.js';
import { cliHere } from '../support/cli-here.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { tinyLlama } from '../support/training.js';

const folder = temporaryFolder();
const config = join(folder, 'config.json');
const run = join(folder, 'run');
const one = join(folder, 'one');
const RATE = 0.01;
let inputs: QuickstartInputs;
/** Weights of a fresh model, as a run leaves them that takes no step which moves anything. */
let start: string;

beforeAll(async () => {
  inputs = await quickstartInputs(join(folder, 'inputs'));
  const shard = join(folder, 'docs.jsonl');
  const words = 'lemma proof field group ring order prime limit'.split(' ');
  const text = (i: number) => Array.from({ length: 40 }, (_, k) => words[(i * 7 + k * k) % 8]).join(' ');
  writeFileSync(
    shard,
    Array.from({ length: 30 }, (_, i) => `${JSON.stringify({ text: text(29 - i) })}\n`).join(''),
  );
  const quiet = ['--log', 'none'];
  const score = ['score', '--shards', shard, '--sequence-length', '64', '--device', 'cpu', '--threads', '1'];
  const models = ['--reference', inputs.reference, '--current', inputs.current, '--out', run];
  expect((await cliHere([...score, ...models, ...quiet])).code).toBe(0);
  const select = ['select', run, '--scope', 'dataset', '--keep', '0.000001', '--out', one];
  expect((await cliHere([...select, ...quiet])).code).toBe(0);
  writeFileSync(config, JSON.stringify({ ...tinyLlama, vocab_size: 512 }));
}, 120_000);

async function train(
  name: string,
  sections: Partial<Omit<TrainInput, 'out'>>,
  {
    signal = new AbortController().signal,
    sink = () => undefined,
  }: {
    signal?: AbortSignal;
    sink?: (event: TrainEvent) => void;
  } = {},
): Promise<TrainReport> {
  const settings = parseSettings(
    trainSchema,
    {
      out: join(folder, name),
      model: { config, tokenizer: inputs.reference },
      // In the order of the file: which step has the one token that is kept is the same for all.
      data: { sources: [one], shuffle_tokens: 0 },
      loss: { kind: 'slm', selection: 'frozen' },
      optimizer: { learning_rate: RATE },
      schedule: { kind: 'constant', warmup_steps: 0 },
      batch: { rows: 2, steps: 4 },
      run: { device: 'cpu', threads: 1, checkpoint_every: 2 },
      ...sections,
    },
    'test',
  );
  return trainRun(settings, { storage: localStorage(), sink, signal });
}

const linesOf = (name: string): Record<string, unknown>[] =>
  readFileSync(join(folder, name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function weightsOf({ model }: TrainReport): Promise<Float32Array> {
  const file = join(model, 'model.safetensors');
  const bytes = readFileSync(file);
  const tensors = await readSafetensorsHeader(file);
  return Float32Array.from(
    tensors.flatMap(({ offset, length }) =>
      Array.from({ length: length / 4 }, (_, i) => bytes.readFloatLE(offset + 4 * i)),
    ),
  );
}
const weightsFile = ({ model }: TrainReport): string =>
  readFileSync(join(model, 'model.safetensors')).toString('base64');

describe('a step that keeps no token', () => {
  let first: number;

  it('moves nothing, has no loss, and is told of before and after', async () => {
    const events: TrainEvent[] = [];
    const report = await train(
      'all',
      { batch: { rows: 2, steps: 40 } },
      { sink: (event) => events.push(event) },
    );
    const lines = linesOf('all');
    first = Number(lines.find(({ kept }) => Number(kept) > 0)?.['step']);
    expect(first).toBeGreaterThan(3);
    for (const line of lines) {
      if (line['kept'] === 0)
        expect(line).toMatchObject({ loss: null, loss_selected: null, gradient_norm: null });
      else expect(line['loss_selected']).toBeGreaterThan(1);
      expect(line['eligible']).toBeGreaterThan(10);
    }
    const empty = lines.filter(({ kept }) => kept === 0).length;
    expect(report.last).toMatchObject({ empty_steps: empty });
    expect(events).toContainEqual({
      event: 'warning',
      message: expect.stringMatching(/1 of its \d+ targets have a weight above 0, fewer than the 40 steps/),
    });
  });

  it('leaves the weights as they were, in every precision and with accumulation', async () => {
    const none = { rows: 2, steps: first - 1 };
    const untouched = await train('none', { batch: none });
    start = weightsFile(untouched);
    const [weights] = [await weightsOf(untouched)];
    expect(weights.some((value) => value !== 0 && value !== 1)).toBe(true);
    for (const precision of ['bf16', 'fp16'] as const)
      expect(weightsFile(await train(precision, { batch: none, compute: { precision } }))).toBe(start);
    const half = Math.floor((first - 1) / 2);
    const accumulated = await train('accumulated', { batch: { rows: 2, accumulate: 2, steps: half } });
    expect(weightsFile(accumulated)).toBe(start);
    expect(linesOf('accumulated').map(({ kept }) => kept)).toEqual(Array(half).fill(0));
  });

  it('is no step of AdamW: the first that moves something is corrected as the first', async () => {
    const before = await weightsOf(await train('before', { batch: { rows: 2, steps: first - 1 } }));
    const after = await weightsOf(await train('after', { batch: { rows: 2, steps: first } }));
    const moved = after.map((value, i) => Math.abs(value - (before[i] ?? 0)));
    const largest = Math.max(...moved);
    // Adam's first step is the learning rate; corrected as the hundredth it would be three times as long.
    expect(largest).toBeGreaterThan(0.5 * RATE);
    expect(largest).toBeLessThan(1.1 * RATE);
  });

  it('comes to the same weights through a stop', async () => {
    const batch = { rows: 2, steps: first + 2 };
    const whole = await train('whole', { batch });
    const stop = new AbortController();
    const sink = (event: TrainEvent): void => {
      if (event.event === 'step' && event.step === first - 1) stop.abort();
    };
    await expect(train('stopped', { batch }, { signal: stop.signal, sink })).rejects.toThrow();
    expect(weightsFile(await train('stopped', { batch }))).toBe(weightsFile(whole));
    const untimed = (lines: Record<string, unknown>[]) =>
      lines.map(({ seconds: _, tokens_per_second: __, crc32c: ___, ...line }) => line);
    expect(untimed(linesOf('stopped'))).toEqual(untimed(linesOf('whole')));
  });

  it('is all there would be where no weight is above 0: refused', async () => {
    const none = join(folder, 'nothing');
    const threshold = ['select', run, '--method', 'threshold', '--threshold', '1000', '--out', none];
    expect(await cliHere([...threshold, '--log', 'none'])).toMatchObject({ code: 0 });
    await expect(train('refused', { data: { sources: [none] } })).rejects.toMatchObject({
      code: 'nothing-kept',
      reach: 'usage',
      message: expect.stringContaining(none),
    });
  });
});
