import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { scorePrompts } from '#tokensieve/evaluate/continuations.js';
import { shareOf } from '#tokensieve/evaluate/estimate.js';
import { openExaminee } from '#tokensieve/evaluate/open.js';
import { promptOf } from '#tokensieve/evaluate/prompts.js';
import { verdictOf } from '#tokensieve/evaluate/run-task.js';
import { evaluateSettings } from '#tokensieve/evaluate/settings.js';
import { TASKS } from '#tokensieve/evaluate/tasks.js';
import { temporaryFolder } from '../support/quickstart.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';

// Against lm-evaluation-harness itself: fixtures/evaluate/golden.py ran it over these items with this checkpoint.

const sample = z.object({
  context: z.string(),
  log_likelihoods: z.array(z.number()),
  acc: z.number(),
  acc_norm: z.number(),
  acc_bytes: z.number(),
});
const golden = z
  .object({
    weights_sha256: z.string(),
    items: z.array(z.unknown()),
    tasks: z.record(
      z.enum(['cloze', 'letters']),
      z.object({ results: z.record(z.string(), z.number()), samples: z.array(sample) }),
    ),
  })
  .parse(
    JSON.parse(
      readFileSync(fileURLToPath(new URL('../../fixtures/evaluate/golden.json', import.meta.url)), 'utf8'),
    ),
  );

const model = join(sharedData, 'models/stories260K-hf');
const folder = temporaryFolder();
const SHOTS = 2;

describe.skipIf(!hasSharedData)('lm-evaluation-harness', () => {
  it.each([
    ['cloze', 'text'],
    ['letters', 'letter'],
  ] as const)(
    '%s: prompts, log-likelihoods, accuracies and their errors are its own',
    async (name, style) => {
      const weights = readFileSync(join(model, 'model.safetensors'));
      expect(createHash('sha256').update(weights).digest('hex')).toBe(golden.weights_sha256);

      const items = golden.items.map((item) => TASKS.mmlu_stem.item.parse(item));
      const shots = style === 'letter' ? items.slice(0, SHOTS) : [];
      const settings = evaluateSettings.parse({
        model,
        tasks: ['mmlu_stem'],
        task_data: folder,
        score: { device: 'cpu' },
        run: { cache: join(folder, 'cache'), threads: 1 },
      });
      const { samples, results } = golden.tasks[name];
      const examinee = await openExaminee(settings);
      try {
        async function* prompts() {
          for (const [row, item] of items.slice(SHOTS).entries()) {
            yield { row, lineBytes: 0, prompt: promptOf(item, shots, style) };
          }
        }
        const right = { acc: 0, acc_norm: 0, acc_bytes: 0 };
        let worst = 0;
        const refuse = (row: number, detail: string): void => expect.fail(`item ${row}: ${detail}`);
        let seen = 0;
        for await (const scored of scorePrompts(prompts(), examinee, name, refuse)) {
          const theirs = samples[seen++]!;
          expect(scored.prompt.context).toBe(theirs.context);
          for (const [index, { logLikelihood, dropped }] of scored.continuations.entries()) {
            expect(dropped).toBe(0);
            worst = Math.max(worst, Math.abs(logLikelihood - theirs.log_likelihoods[index]!));
          }
          const { acc, accNorm, accBytes } = verdictOf(scored);
          expect({ acc, accNorm, accBytes }).toEqual({
            acc: theirs.acc,
            accNorm: theirs.acc_norm,
            accBytes: theirs.acc_bytes,
          });
          right.acc += acc;
          right.acc_norm += accNorm;
          right.acc_bytes += accBytes;
        }
        expect(seen).toBe(samples.length);
        // float32 on both sides, sums over up to twenty tokens.
        expect(worst).toBeLessThan(1e-4);
        for (const [metric, count] of Object.entries(right)) {
          const { value, stderr } = shareOf(count, seen);
          expect(value).toBeCloseTo(results[`${metric},none`]!, 12);
          expect(stderr).toBeCloseTo(results[`${metric}_stderr,none`]!, 12);
        }
      } finally {
        await examinee.close();
      }
    },
  );
});
