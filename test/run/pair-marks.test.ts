import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelInputs } from '#tokensieve/score/open-inputs.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const load = async (reference: string, current: string, sequence: { bos?: boolean; eos?: boolean } = {}) => {
  const cache = mkdtempSync(join(tmpdir(), 'tokensieve-pair-cache-'));
  const { tokenizer } = await openModelInputs(
    {
      reference,
      current,
      tokenizer: { control_tokens: 'text' },
      sequence: { attention: 'across', ...sequence },
      score: { entropy: false, precision: 'fp32' },
      run: { tokenizer_engine: 'auto', cache },
    },
    'cpu',
  );
  await tokenizer.close();
  return [tokenizer.bosId, tokenizer.eosId];
};

const inputs = temporaryFolder();

describe('two models', () => {
  it('whose folders would give other rows are no pair, and the message says which', {
    timeout: 120_000,
  }, async () => {
    const { reference } = await quickstartInputs(inputs);
    const folder = mkdtempSync(join(tmpdir(), 'tokensieve-pair-'));
    const copy = (name: string, change: (config: Record<string, unknown>) => void): string => {
      const to = join(folder, name);
      cpSync(reference, to, { recursive: true });
      const file = join(to, 'tokenizer_config.json');
      const config = JSON.parse(readFileSync(file, 'utf8'));
      change(config);
      writeFileSync(file, JSON.stringify(config));
      return to;
    };
    // One model, saved by transformers 4 and by 5.
    const saved4 = copy('v4', (config) => Object.assign(config, { add_bos_token: true, legacy: false }));
    const saved5 = copy('v5', (config) =>
      Object.assign(config, { backend: 'tokenizers', tokenizer_class: 'TokenizersBackend' }),
    );
    const marks = await load(saved4, saved5);
    expect(await load(saved5, saved4)).toEqual(marks);
    expect(marks[1]).not.toBeNull();

    const mute = copy('mute', (config) => delete config['eos_token']);
    await expect(load(saved5, mute)).rejects.toMatchObject({
      code: 'tokenizers-differ',
      message: expect.stringMatching(
        /mute: EOS is none \(the tokenizer's files name no eos_token\), but the run's tokenizer \(.*v5\) has id \d+ \(eos_token of tokenizer_config.json\).*--eos or --no-eos/,
      ),
    });
    expect(await load(saved5, mute, { eos: false })).toEqual([marks[0], null]);
    // EOS switched on is the run's token for both, as a base model and its chat model name different ones.
    const { added_tokens: added } = JSON.parse(readFileSync(join(reference, 'tokenizer.json'), 'utf8'));
    const other: { id: number; content: string } = added.find(
      (token: { id: number; special: boolean }) => token.special && token.id !== marks[1],
    );
    const chat = copy('chat', (config) => Object.assign(config, { eos_token: other.content }));
    await expect(load(saved5, chat)).rejects.toMatchObject({ code: 'tokenizers-differ' });
    expect(await load(saved5, chat, { eos: true })).toEqual(marks);
    expect(await load(chat, saved5, { eos: true })).toEqual([marks[0], other.id]);
    expect(await load(saved5, mute, { eos: true })).toEqual(marks);
  });
});
