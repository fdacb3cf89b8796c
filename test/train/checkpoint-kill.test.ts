import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { isStagingName } from '#tokensieve/storage/staging.js';
import { loadTrainerState } from '#tokensieve/train/checkpoint.js';
import { latestCheckpoint, sweepCheckpoints } from '#tokensieve/train/checkpoints.js';
import type { TrainerState } from '#tokensieve/train/parameters.js';
import { temporaryFolder } from '../support/quickstart.js';
import { checkpointAt, parameters, progressAt, stateAt } from './checkpoint-at.mjs';

const KILLS = 24;
const writer = fileURLToPath(new URL('write-checkpoints.mjs', import.meta.url));

describe('SIGKILL of a writer of checkpoints', () => {
  const folder = temporaryFolder();
  const out = join(folder, 'out');
  /** How long a checkpoint took the last time. */
  let writeMs = 20;
  const tokenizer = join(folder, 'tokenizer.json');
  writeFileSync(tokenizer, '{"model":{}}');

  it(`${KILLS} kills at random moments leave a whole checkpoint and a whole model`, async () => {
    let inWork = 0;
    let written = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const told = await killedAt(1 + (kill % 2), (kill * 0.618) % 1);
      // What was reported as written is there; what was being written may be.
      const latest = await latestCheckpoint(out);
      expect(latest?.state.step ?? 0).toBeGreaterThanOrEqual(Math.max(written, told.written));
      expect(latest?.state.step ?? 0).toBeLessThanOrEqual(told.writing);
      written = latest?.state.step ?? 0;
      if (latest !== null) {
        expect(latest.state).toMatchObject(progressAt(written));
        const found = await loadTrainerState(latest, parameters);
        expect(digest(found)).toBe(digest(stateAt(written)));
      }
      checkModel(written);
      if (leftovers().length > 0) inWork++;
    }
    // Kills between two checkpoints prove less.
    expect(inWork).toBeGreaterThanOrEqual(KILLS / 4);
    expect(written).toBeGreaterThanOrEqual(KILLS / 2);
    console.log(`${inWork} of ${KILLS} kills within a write, ${written} checkpoints`);
    await sweepCheckpoints(out);
    expect(leftovers()).toEqual([]);
    expect(readdirSync(join(out, 'checkpoints')).length).toBeLessThanOrEqual(3);
  });

  /**
   * Runs the writer, and kills it somewhere within its first or second checkpoint or soon after.
   * @returns the last steps that it said were begun and written
   */
  async function killedAt(checkpoint: number, share: number): Promise<{ writing: number; written: number }> {
    const told = { writing: 0, written: 0 };
    const child = spawn(process.execPath, [writer, out, tokenizer], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise((resolve) => child.on('exit', (_code, signal) => resolve(signal)));
    let begun = 0;
    let since = 0;
    let killer: Promise<void> | undefined;
    for await (const line of createInterface({ input: child.stdout })) {
      const [what, step] = line.split(' ');
      if (what === 'written') {
        told.written = Number(step);
        writeMs = performance.now() - since;
        continue;
      }
      told.writing = Number(step);
      since = performance.now();
      begun++;
      if (begun === checkpoint) killer = wait(share * writeMs).then(() => void child.kill('SIGKILL'));
    }
    await killer;
    expect(await exited).toBe('SIGKILL');
    return told;
  }

  function leftovers(): string[] {
    return [out, join(out, 'checkpoints'), join(out, 'model')]
      .filter((place) => existsSync(place))
      .flatMap((place) => readdirSync(place))
      .filter(isStagingName);
  }

  /** OUT/model is not there, or whole: the weights of this step or of the one before. */
  function checkModel(step: number): void {
    const model = join(out, 'model');
    if (!existsSync(model)) return;
    expect(
      readdirSync(model)
        .filter((name) => !isStagingName(name))
        .sort(),
    ).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    const weights = readFileSync(join(model, 'model.safetensors'));
    const expected = [step, step - 1].map((at) => {
      const { decayed, undecayed } = checkpointAt(at).state.weights;
      return weights.includes(Buffer.from(decayed.slice(0, 97 * 64).buffer)) &&
        weights.includes(Buffer.from(undecayed.slice(64).buffer))
        ? 'whole'
        : 'other';
    });
    expect(expected).toContain('whole');
  }
});

function digest(state: TrainerState): string {
  const hash = createHash('sha256');
  for (const { decayed, undecayed } of [state.weights, state.firstMoment, state.secondMoment]) {
    for (const vector of [decayed, undecayed]) {
      hash.update(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
    }
  }
  return hash.digest('hex');
}
