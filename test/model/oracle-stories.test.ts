import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { prepareModel } from '#tokensieve/model/prepare.js';
import { readCheckpoint } from '../support/oracle/checkpoint.js';
import { linear } from '../support/oracle/layers.js';
import { llama2c, llama2cTokens } from '../support/oracle/llama2c.js';
import { lossesAcross, tokenLoss } from '../support/oracle/oracle.js';
import { runPrepared } from '../support/oracle-run.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';

const STORY =
  'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, ' +
  'she saw a big red ball near a tree. Lily wanted to play with the ball, but it was too high. Her mom ' +
  'came to help her. "Thank you, mom!" said Lily. They played with the ball all day and were very happy.';

describe.skipIf(!hasSharedData)('a pretrained Llama in two formats', () => {
  const original = join(sharedData, 'models/stories260K');
  const converted = join(sharedData, 'models/stories260K-hf');

  it('has the same tokens', () => {
    const json = (name: string): object => JSON.parse(readFileSync(join(converted, name), 'utf8'));
    const tokenizer = new Tokenizer(json('tokenizer.json'), json('tokenizer_config.json'));
    const text = `${STORY} Ça coûte 3 €.`;
    expect(tokenizer.encode(text).ids).toEqual(llama2cTokens(join(original, 'tok512.bin'), text));
  });

  it('has the same losses, and they are those of a model that knows stories', () => {
    const ids = llama2cTokens(join(original, 'tok512.bin'), STORY);
    const { states, head } = llama2c(join(original, 'stories260K.bin'), ids);
    const { loss } = lossesAcross(readCheckpoint(converted), ids);
    ids.slice(1).forEach((id, t) => {
      expect(
        Math.abs(loss[t]! - tokenLoss(linear(states[t]!, head), id).loss),
        `token ${t + 1}`,
      ).toBeLessThan(1e-9);
    });
    expect(loss.reduce((a, b) => a + b, 0) / loss.length).toBeLessThan(1.5); // ln 512 = 6.2 knows nothing
  });

  it("has the losses of llama2.c's file in the product's graph, up to its last position", async () => {
    const story = llama2cTokens(join(original, 'tok512.bin'), STORY);
    const ids = Array.from({ length: 512 }, (_, i) => story[i % story.length]!);
    const { states, head } = llama2c(join(original, 'stories260K.bin'), ids);
    const cacheFolder = mkdtempSync(join(tmpdir(), 'oracle-stories-'));
    const settings = { device: 'cpu', attention: 'across', entropy: false, cacheFolder } as const;
    const { loss } = await runPrepared(await prepareModel(converted, settings), [{ ids }]);
    rmSync(cacheFolder, { recursive: true });
    expect(loss[0]).toHaveLength(511);
    ids.slice(1).forEach((id, t) => {
      const wanted = tokenLoss(linear(states[t]!, head), id).loss;
      expect(Math.abs(loss[0]![t]! - wanted), `token ${t + 1}`).toBeLessThan(2e-5);
    });
  });
});
