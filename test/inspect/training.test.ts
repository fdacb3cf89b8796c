import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';

const line = (step: number, more: object = {}): string =>
  `${JSON.stringify({
    ...{ step, tokens: step * 100, loss: 5, loss_selected: 4.5, loss_unselected: 6, eligible: 100, kept: 60 },
    ...{ gradient_norm: 1, learning_rate: 1e-3, seconds: 0.1, tokens_per_second: 1000, ...more },
  })}\n`;

it('shows how far a training run is', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'checkpoints', 'step-00000002'), { recursive: true });
  writeFileSync(join(folder, 'metrics.jsonl'), line(1) + line(2, { held_out: { clean: 3.25 } }) + line(3));
  const { code, stdout } = await runCli(['inspect', folder]);
  expect(code).toBe(0);
  expect(stdout).toContain('training run');
  expect(stdout).toMatch(/steps +3/);
  expect(stdout).toMatch(/last step +4\.5000 nats on 60 of 100 tokens/);
  expect(stdout).toMatch(/held out +clean 3\.2500 nats at step 2/);
  expect(stdout).toMatch(/checkpoints +step-00000002/);
});
