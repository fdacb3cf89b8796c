import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { type Outcome, runCli, startCli } from '../support/cli.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { randoms, tinyLlama } from '../support/training.js';

const KILLS = 20;
const STEPS = 60;
const CHECKPOINT_EVERY = 4;

const folder = temporaryFolder();

it(`${KILLS} kills at random moments, and the weights of an uninterrupted run`, {
  timeout: 900_000,
}, async () => {
  const inputs = await quickstartInputs(join(folder, 'inputs'));
  const scored = await runCli([
    ...['score', '--shards', await manySmallParts(join(folder, 'corpus')), '--reference', inputs.reference],
    ...['--out', join(folder, 'scored'), '--sequence-length', '64', '--device', 'cpu', '--threads', '1'],
    ...['--log', 'none'],
  ]);
  expect(scored.code, scored.stderr).toBe(3);
  const config = join(folder, 'config.json');
  writeFileSync(config, JSON.stringify({ ...tinyLlama, vocab_size: 512 }));
  const train = (out: string): string[] => [
    ...['train', '--config', config, '--tokenizer', inputs.reference, '--data', join(folder, 'scored')],
    ...['--loss', 'slm', '--steps', `${STEPS}`, '--rows', '8', '--accumulate', '2', '--out', out],
    ...[
      '--checkpoint-every',
      `${CHECKPOINT_EVERY}`,
      '--held-out',
      `same=${join(folder, 'scored')}`,
      '--held-out-every',
      '10',
    ],
    ...['--held-out-tokens', '1000', '--warmup-steps', '5', '--learning-rate', '0.01', '--device', 'cpu'],
    ...['--threads', '1', '--log', 'json'],
  ];
  const clean = join(folder, 'clean');
  const started = performance.now();
  let startMs = 0;
  const undisturbed = startCli(train(clean), {
    onLine: (line) => {
      if (line.includes('"train-planned"')) startMs = performance.now() - started;
    },
  });
  expect((await undisturbed.outcome).code).toBe(0);
  const betweenMs = (performance.now() - started - startMs) / (STEPS / CHECKPOINT_EVERY);
  const expected = whatIsLeft(clean);

  const random = randoms(20261123);
  const landed = new Map<string, number>();
  let kills = 0;
  for (let run = 0; kills < KILLS; run++) {
    const out = join(folder, `killed-${run}`);
    for (;;) {
      // One run takes as many kills as it can, each within a step, a checkpoint or the start of a process, and is let
      // through to its end after the last.
      const event = kills % 5 === 1 ? 'train-planned' : 'checkpoint';
      const outcome =
        kills === KILLS
          ? await startCli(train(out)).outcome
          : kills % 5 === 0
            ? await killedAt(train(out), null, random() * startMs)
            : await killedAt(train(out), event, random() * betweenMs);
      if (outcome.signal === null) {
        expect(outcome.code, outcome.stderr).toBe(0);
        break;
      }
      kills++;
      const place = placeOf(out);
      landed.set(place, (landed.get(place) ?? 0) + 1);
    }
    expect(whatIsLeft(out)).toEqual(expected);
    rmSync(out, { recursive: true });
  }
  console.log(`kills landed: ${JSON.stringify(Object.fromEntries(landed))}`);
  expect(landed.get('with a checkpoint') ?? 0).toBeGreaterThanOrEqual(12);
});

/** Kills so long after the first event of a kind, or after the process's start. */
async function killedAt(args: readonly string[], event: string | null, ms: number): Promise<Outcome> {
  const killing = (): void => void wait(ms).then(() => running.child.kill('SIGKILL'));
  const running = startCli(args, {
    onLine: (line) => {
      if (event !== null && line.includes(`"${event}"`)) killing();
    },
  });
  if (event === null) killing();
  return running.outcome;
}

const checkpoints = (out: string): string[] => {
  const parent = join(out, 'checkpoints');
  return existsSync(parent) ? readdirSync(parent).filter((name) => name.startsWith('step-')) : [];
};

const placeOf = (out: string): string =>
  checkpoints(out).length > 0 ? 'with a checkpoint' : 'before the first checkpoint';

/** Digests of the last checkpoint's tensors, and the metrics without what depends on the clock. */
function whatIsLeft(out: string): unknown {
  const last = join(out, 'checkpoints', checkpoints(out).sort().at(-1) ?? '');
  const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
  const metrics = readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      // Times differ, and with them the line's checksum.
      const {
        seconds: _,
        tokens_per_second: __,
        crc32c: ___,
        ...rest
      } = JSON.parse(line) as Record<string, unknown>;
      return rest;
    });
  expect(metrics).toHaveLength(STEPS);
  return {
    checkpoints: checkpoints(out),
    weights: digest(join(last, 'model.safetensors')),
    published: digest(join(out, 'model', 'model.safetensors')),
    moments: digest(join(last, 'trainer', 'moments.safetensors')),
    metrics,
  };
}
