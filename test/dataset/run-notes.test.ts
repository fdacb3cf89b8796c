import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type RunNotes, readRunNotes, writeRunNotes } from '#tokensieve/dataset/run-notes.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { temporaryFolder } from '../support/quickstart.js';

const NOTES: RunNotes = {
  version: 1,
  shards: ['data/*.jsonl'],
  tokenizer: 'models/one',
  models: [
    {
      role: 'reference',
      folder: 'models/one',
      hash: 'a'.repeat(64),
      architecture: 'LlamaForCausalLM',
      parameters: 1000,
      weight_type: 'F32',
      flops_per_token: 2000,
    },
  ],
};

it('every flipped bit is told, or changes nothing that is read', async () => {
  const folder = temporaryFolder();
  const storage = localStorage();
  await writeRunNotes(storage, folder, NOTES);
  const path = join(folder, 'run.json');
  const whole = readFileSync(path);
  let told = 0;
  for (let place = 0; place < whole.length; place++) {
    for (const bit of [0, 1, 5]) {
      const bytes = Buffer.from(whole);
      bytes[place] = (bytes[place] ?? 0) ^ (1 << bit);
      writeFileSync(path, bytes);
      const found = await readRunNotes(storage, folder).catch((error: unknown) => error);
      if (found instanceof Error) {
        expect(found).toMatchObject({ code: 'bad-run-notes', message: expect.stringContaining(path) });
        told++;
      } else expect(found).toEqual(NOTES);
    }
  }
  expect(told).toBeGreaterThan(whole.length * 2);
});
