import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FinishedPart } from '#tokensieve/dataset/finished-parts.js';
import { FIRST_VERSIONS, judge, RULE_CHANGES, RULES_DATE, versionsOf } from '#tokensieve/rules/changes.js';
import type { ModelFacts, RunFacts, TokenizerFacts } from '#tokensieve/rules/facts.js';
import { rulesOfNewRun } from '#tokensieve/rules/new-run.js';
import { readModelFacts } from '#tokensieve/rules/read-model.js';
import { rowsSetAside } from '#tokensieve/rules/read-reading.js';
import { readTokenizerFacts } from '#tokensieve/rules/read-tokenizer.js';
import { readNow } from '#tokensieve/rules/reading-changes.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { writeInputs } from '../../fixtures/old-runs/inputs.mjs';
import { temporaryFolder } from '../support/quickstart.js';

const TOKENIZER: TokenizerFacts = {
  hashes: { before: 'old', now: 'new' },
  before: { bos: null, eos: { id: 1, from: 'tokenizer_config.json' } },
  now: { bos: null, eos: { id: 1, from: 'tokenizer_config.json' } },
  prefixSpace: { file: false, config: null },
  otherAddedTokens: [],
};
const MODEL: ModelFacts = {
  folder: 'm',
  config: { architectures: ['LlamaForCausalLM'] },
  tensors: new Set(['model.norm.weight']),
  ownHead: null,
  adapter: false,
  graph: null,
};
const RUN: RunFacts = {
  semantics: { ...FIRST_VERSIONS },
  inserted: { bosId: null, eosId: 1 },
  sequence: { length: 8192, bos: true, eos: true },
  longestRow: 8192,
  tokenizerHash: null,
  keep: [],
  tokenizer: TOKENIZER,
  models: [{ role: 'reference', facts: MODEL }],
  reading: { shards: ['a/b.jsonl'], patterns: ['a'], setAside: [], roundedColumns: [] },
};
const withModel = (changes: Partial<ModelFacts>, run: Partial<RunFacts> = {}): RunFacts => ({
  ...RUN,
  ...run,
  models: [{ role: 'reference', facts: { ...MODEL, ...changes } }],
});
const withConfig = (config: object, run: Partial<RunFacts> = {}): RunFacts =>
  withModel({ config: { ...MODEL.config, ...config } }, run);
const withTokenizer = (changes: Partial<TokenizerFacts>, run: Partial<RunFacts> = {}): RunFacts => ({
  ...RUN,
  ...run,
  tokenizer: { ...TOKENIZER, ...changes },
});
const mistral = { architectures: ['MistralForCausalLM'] };
const gpt2 = { architectures: ['GPT2LMHeadModel'] };
const head = { ownHead: ['lm_head.weight', 'transformer.wte.weight'] } as const;

const temporary = temporaryFolder();
const namesOf = (run: RunFacts): string[] => judge(run).touched.map(({ rule }) => rule);
const sentenceOf = (run: RunFacts): string =>
  judge(run)
    .touched.flatMap(({ touches }) => touches.map(({ what }) => what))
    .join('; ');

describe('ids by the hash of the tokenizer', () => {
  const by = (tokenizerHash: string, changes: Partial<TokenizerFacts> = {}): RunFacts =>
    withTokenizer(changes, { tokenizerHash });
  const prefix = { prefixSpace: { file: false, config: true } };

  it('the same hash: nothing that the folder says beside it has an effect', () => {
    expect(namesOf(by('new', { ...prefix, otherAddedTokens: ['<x>'] }))).toEqual([]);
  });

  it('the hash of older rules: touched, by the plainest sentence', () => {
    expect(namesOf(by('old'))).toEqual(['tokenizer-of-the-library']);
    expect(namesOf(by('old', prefix))).toEqual(['prefix-space-of-the-config']);
    expect(sentenceOf(by('old', { hashes: { before: 'old', now: null } }))).toContain('refused now');
  });

  it('neither: the folder holds another tokenizer', () => {
    expect(namesOf(by('else'))).toEqual([]);
    expect(judge(by('else')).unknown).toMatchObject([
      { rule: 'tokenizer-of-the-library', why: expect.stringContaining('another tokenizer') },
    ]);
  });
});

describe('the list of changes', () => {
  it('has a date and a name of its own for each, and raises no version of a stage twice on one day', () => {
    expect(new Set(RULE_CHANGES.map(({ name }) => name)).size).toBe(RULE_CHANGES.length);
    for (const { date } of RULE_CHANGES) expect(date).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(RULES_DATE).toBe(
      RULE_CHANGES.map(({ date }) => date)
        .sort()
        .at(-1),
    );
    const versions = new Map<string, number | null>();
    for (const { date, stage, version } of RULE_CHANGES) {
      const key = `${date} ${stage}`;
      expect(versions.get(key) ?? version).toBe(version);
      versions.set(key, version);
    }
  });

  it('touches no run that is as all rules would have it, whose versions stay what they were', () => {
    expect(judge(RUN)).toEqual({ touched: [], unknown: [] });
    expect(versionsOf(judge(RUN))).toEqual(FIRST_VERSIONS);
  });
});

describe('a change touches', () => {
  it.each<[string, string, RunFacts, RegExp]>([
    [
      'a BOS that config.json names',
      'bos-of-the-encoding',
      withTokenizer(
        { before: { ...TOKENIZER.before, bos: { id: 0, from: 'config.json' } } },
        { inserted: { bosId: 0, eosId: 1 } },
      ),
      /^BOS id 0 was inserted from config\.json before every document, which the tokenizer does not add: rows/,
    ],
    [
      'a BOS that the encoding adds and older rules did not',
      'bos-of-the-encoding',
      withTokenizer({ now: { ...TOKENIZER.now, bos: { id: 2, from: 'post_processor of tokenizer.json' } } }),
      /^BOS id 2 was not inserted, which post_processor of tokenizer\.json adds/,
    ],
    [
      'an EOS that nobody declares',
      'declared-eos',
      withTokenizer({
        before: { bos: null, eos: { id: 1, from: 'config.json' } },
        now: { bos: null, eos: null },
      }),
      /^EOS id 1 was inserted from config\.json after every document, though the tokenizer declares none/,
    ],
    [
      'an EOS that is another',
      'declared-eos',
      withTokenizer({ now: { bos: null, eos: { id: 5, from: 'tokenizer_config.json' } } }),
      /^EOS id 1 .*, where tokenizer_config\.json says 5/,
    ],
    [
      'a prefix space that tokenizer_config.json asks for',
      'prefix-space-of-the-config',
      withTokenizer({ prefixSpace: { file: false, config: true } }),
      /^add_prefix_space true of tokenizer_config\.json was not read/,
    ],
    [
      'tokens that tokenizer_config.json alone has',
      'added-tokens-of-the-config',
      withTokenizer({ otherAddedTokens: ['<a>', '<b>', '<c>', '<d>'] }),
      /\("<a>", "<b>", "<c>" and 1 more\)/,
    ],
    ['a Mistral without a window', 'default-window', withConfig(mistral), /default of 4096/],
    [
      'rope_scaling beside rope_parameters',
      'rope-scaling-beside-parameters',
      withConfig({ rope_parameters: { rope_type: 'default' }, rope_scaling: { type: 'linear', factor: 2 } }),
      /^reference model: rope_scaling beside/,
    ],
    [
      'rope_scaling beside empty rope_parameters',
      'rope-scaling-beside-parameters',
      withConfig({ rope_parameters: {}, rope_scaling: { type: 'linear', factor: 2 } }),
      /rope_scaling/,
    ],
    [
      'rope_parameters by layer type',
      'rope-by-layer-type',
      withConfig({
        architectures: ['Qwen3ForCausalLM'],
        rope_parameters: { full_attention: { rope_type: 'default', rope_theta: 5000 } },
      }),
      /by layer type/,
    ],
    [
      'original positions on the top level',
      'original-positions-on-top',
      withConfig({
        original_max_position_embeddings: 64,
        max_position_embeddings: 128,
        rope_scaling: { rope_type: 'llama3' },
      }),
      /64 of config\.json's top level was not read \(128 was taken\)/,
    ],
    [
      'a head of an untied GPT-2',
      'own-head',
      withModel({ config: { ...gpt2, tie_word_embeddings: false }, ...head }),
      /lm_head\.weight was not read/,
    ],
    [
      'a head of a tied Llama',
      'own-head',
      withModel({ config: { ...MODEL.config, tie_word_embeddings: true }, ...head }),
      /refused now/,
    ],
    [
      'a head of a GPT-2 that is tied by default',
      'own-head',
      withModel({ config: gpt2, ...head }),
      /refused now/,
    ],
    [
      'an adapter beside it',
      'adapter-beside-the-model',
      withModel({ adapter: true }),
      /adapter was left out/,
    ],
    [
      'quantization_config',
      'quantised-weights',
      withConfig({ quantization_config: { quant_method: 'bitnet' } }),
      /quantization_config/,
    ],
    [
      'scales beside weights',
      'quantised-weights',
      withModel({ tensors: new Set(['model.layers.0.mlp.up_proj.weight_scale']) }),
      /weight_scale\)/,
    ],
    [
      'an export that quantises as it runs',
      'dynamic-quantisation',
      withModel({ graph: { dynamic: ['DynamicQuantizeLinear'], ropeSwitch: false } }),
      /rest of its batch/,
    ],
    [
      'an export with two rotary tables',
      'rope-switch-of-an-export',
      withModel({ graph: { dynamic: [], ropeSwitch: true } }),
      /longest row/,
    ],
  ])('%s', (_, rule, run, sentence) => {
    expect(namesOf(run)).toEqual([rule]);
    expect(sentenceOf(run)).toMatch(sentence);
    const { stage, version } = RULE_CHANGES.find(({ name }) => name === rule)!;
    expect(versionsOf(judge(run))).toEqual({ ...FIRST_VERSIONS, [stage]: version });
    // By the rule itself nothing is older.
    expect(namesOf({ ...run, semantics: { ...FIRST_VERSIONS, [stage]: version } })).toEqual([]);
  });

  it.each<[string, RunFacts]>([
    [
      'a BOS that was switched off',
      withTokenizer(
        { now: { ...TOKENIZER.now, bos: { id: 2, from: 'x' } } },
        { sequence: { ...RUN.sequence, bos: false } },
      ),
    ],
    ['a Mistral whose rows are no longer than the window', withConfig(mistral, { longestRow: 4096 })],
    ['a Mistral that says it has none', withConfig({ ...mistral, sliding_window: null })],
    ['a Mistral with a window', withConfig({ ...mistral, sliding_window: 1024 })],
    [
      'rope_scaling that says the same',
      withConfig({
        rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 1e4 },
        rope_scaling: { type: 'linear', factor: 2 },
      }),
    ],
    ['rope_scaling alone', withConfig({ rope_scaling: { type: 'linear', factor: 2 } })],
    ['original positions where no type asks for them', withConfig({ original_max_position_embeddings: 64 })],
    [
      'original positions on both levels',
      withConfig({
        original_max_position_embeddings: 64,
        rope_parameters: { rope_type: 'llama3', original_max_position_embeddings: 64 },
      }),
    ],
    [
      'an untied Llama with its head',
      withModel({ config: { ...MODEL.config, tie_word_embeddings: false }, ...head }),
    ],
    ['quantization_config of null', withConfig({ quantization_config: null })],
    ['norms called scale', withModel({ tensors: new Set(['model.norm.scale']) })],
    ['a plain export', withModel({ graph: { dynamic: [], ropeSwitch: false } })],
    [
      'a shard of such a name that was asked for by it',
      {
        ...RUN,
        reading: { shards: ['_all.jsonl'], patterns: ['data/_all.jsonl'], setAside: [], roundedColumns: [] },
      },
    ],
    [
      'a line that is no JSON under any rules',
      {
        ...RUN,
        reading: {
          shards: ['a.jsonl'],
          patterns: ['a.jsonl'],
          setAside: [
            { shard: 'a.jsonl', reason: 'bad-json', detail: `Unexpected token 'o', "no" is not valid JSON` },
          ],
          roundedColumns: [],
        },
      },
    ],
    [
      'a stream that was cut',
      {
        ...RUN,
        reading: {
          shards: ['a.jsonl.gz'],
          patterns: ['a.jsonl.gz'],
          setAside: [
            {
              shard: 'a.jsonl.gz',
              reason: 'broken-shard',
              detail: 'the stream breaks off: unexpected end of file',
            },
          ],
          roundedColumns: [],
        },
      },
    ],
  ])('not %s', (_, run) => {
    expect(judge(run)).toEqual({ touched: [], unknown: [] });
  });

  it('no part that says what was put around its documents: it is by newer rules, whatever it set aside', async () => {
    const line = `{"row":3,"rows":1,"reason":"bad-json","detail":"Unexpected token 'N', \\"{\\"text\\": NaN, oops}\\""}\n`;
    const report = line.padEnd(200, '\n');
    const sha256 = createHash('sha256').update(report).digest('hex');
    const manifest = {
      shard: 'a.jsonl',
      part: 0,
      counts: { quarantined: { 'bad-json': 1 } },
      outputs: [{ kind: 'quarantine', name: '00000.quarantine.jsonl', bytes: 200, sha256, rows: 1 }],
    };
    const place = join(temporary, 'a.jsonl');
    mkdirSync(place);
    writeFileSync(join(place, '00000.quarantine.jsonl'), report);
    const part = (more: object) =>
      ({ folder: temporary, manifest: { ...manifest, ...more } }) as unknown as FinishedPart;
    const rows = await rowsSetAside(localStorage(), part({}));
    expect(readNow(rows).map(({ rule }) => rule)).toEqual(['nan-in-jsonl']);
    const source = { id: null, source: '' };
    expect(await rowsSetAside(localStorage(), part({ marks: { bos: source, eos: source } }))).toEqual([]);
  });

  it('nobody knows whom, where a folder is gone: each change that it concerns is named', () => {
    const missing = { missing: 'm is gone' };
    const { touched, unknown } = judge({ ...RUN, models: [{ role: 'reference', facts: missing }] });
    expect(touched).toEqual([]);
    expect(unknown.map(({ rule }) => rule)).toEqual(
      RULE_CHANGES.filter(({ stage }) => stage === 'scoring').map(({ name }) => name),
    );
    // One model tells what the other cannot.
    const both = judge({
      ...RUN,
      models: [
        { role: 'reference', facts: missing },
        { role: 'current', facts: { ...MODEL, adapter: true } },
      ],
    });
    expect(both.touched.map(({ rule }) => rule)).toEqual(['adapter-beside-the-model']);
  });
});

describe('folders say', () => {
  const folder = temporaryFolder();
  const json = (name: string, files: Readonly<Record<string, unknown>>): string => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    for (const [file, value] of Object.entries(files)) writeFileSync(join(path, file), JSON.stringify(value));
    return path;
  };
  const special = (id: number, content: string, more = {}) => ({ id, content, special: true, ...more });
  const tokenizer = (more = {}) => ({
    added_tokens: [special(0, '<s>'), special(1, '</s>')],
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
    post_processor: null,
    model: { type: 'BPE', vocab: { '<s>': 0, '</s>': 1, a: 2 }, merges: [] },
    ...more,
  });
  const template = {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  };

  it.each<
    [string, Readonly<Record<string, unknown>>, number | null, number | null, number | null, number | null]
  >([
    // name, files, BOS before and now, EOS before and now
    [
      'ids of config.json beside a tokenizer_config.json',
      { 'tokenizer_config.json': {}, 'config.json': { bos_token_id: 0, eos_token_id: 1 } },
      0,
      null,
      1,
      null,
    ],
    [
      'ids of config.json alone, of special tokens',
      { 'config.json': { bos_token_id: 0, eos_token_id: 1 } },
      0,
      null,
      1,
      1,
    ],
    [
      'an id of config.json that is a word',
      { 'config.json': { bos_token_id: 0, eos_token_id: 2 } },
      0,
      null,
      2,
      null,
    ],
    [
      'a BOS that is declared and not added',
      { 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } },
      0,
      null,
      1,
      1,
    ],
    [
      'a BOS that the template adds',
      {
        'tokenizer.json': tokenizer({ post_processor: template }),
        'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' },
      },
      0,
      0,
      1,
      1,
    ],
    [
      'add_bos_token beside an encoding that adds none',
      { 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>', add_bos_token: true } },
      0,
      null,
      1,
      1,
    ],
    [
      'one token for both',
      { 'tokenizer_config.json': { bos_token: '</s>', eos_token: { content: '</s>' } } },
      null,
      null,
      1,
      1,
    ],
    [
      'EOS in the old form',
      { 'special_tokens_map.json': { eos_token: '</s>' }, 'tokenizer_config.json': { bos_token: null } },
      null,
      null,
      1,
      1,
    ],
    ['names that only look like it', { 'tokenizer_config.json': {} }, 0, null, 1, null],
  ])('%s', async (name, files, bosBefore, bosNow, eosBefore, eosNow) => {
    const path = json(name.replaceAll(' ', '-'), { 'tokenizer.json': tokenizer(), ...files });
    const facts = (await readTokenizerFacts(path)) as TokenizerFacts;
    const ids = [facts.before.bos, facts.now.bos, facts.before.eos, facts.now.eos];
    expect(ids.map((source) => source?.id ?? null)).toEqual([bosBefore, bosNow, eosBefore, eosNow]);
  });

  it('what else of the tokenizer was not read', async () => {
    const path = json('more', {
      'tokenizer.json': tokenizer(),
      'tokenizer_config.json': {
        add_prefix_space: true,
        added_tokens_decoder: {
          0: special(0, '<s>'),
          1: special(1, '</s>', { lstrip: true }),
          7: special(7, '<new>'),
        },
      },
    });
    expect(await readTokenizerFacts(path)).toMatchObject({
      prefixSpace: { file: false, config: true },
      otherAddedTokens: ['</s>', '<new>'],
    });
    expect(await readTokenizerFacts(join(folder, 'nowhere'))).toHaveProperty('missing');
  });

  it('whether a head is one of its own, by its bytes', async () => {
    await writeInputs(folder);
    expect(await readModelFacts('reference', join(folder, 'models/head'))).toMatchObject({
      ownHead: ['lm_head.weight', 'transformer.wte.weight'],
      adapter: false,
      graph: null,
    });
    expect(await readModelFacts('reference', join(folder, 'models/declared/reference'))).toMatchObject({
      ownHead: null,
    });
    json('models/head', { 'adapter_config.json': { peft_type: 'LORA' } });
    expect(await readModelFacts('reference', join(folder, 'models/head'))).toMatchObject({ adapter: true });
  });

  it('by what hash its texts had ids, and by what hash they have', async () => {
    await writeInputs(folder);
    const facts = (await readTokenizerFacts(join(folder, 'models/strike'))) as TokenizerFacts;
    const old = JSON.parse(
      readFileSync(
        new URL(
          '../../fixtures/old-runs/runs/strike-packed/packed/pages.jsonl/00000.manifest.json',
          import.meta.url,
        ),
        'utf8',
      ),
    ) as { recipe: { tokenizer: { hash: string } } };
    expect(facts.hashes.before).toBe(old.recipe.tokenizer.hash);
    expect(facts.hashes.now).toMatch(/^[0-9a-f]{64}$/);
    expect(facts.hashes.now).not.toBe(facts.hashes.before);
    const same = (await readTokenizerFacts(join(folder, 'models/declared/reference'))) as TokenizerFacts;
    expect(same.hashes.now).toBe(same.hashes.before);
  });

  it('by which versions a new run is made', async () => {
    await writeInputs(folder);
    const run = (name: string, length: number) =>
      rulesOfNewRun({
        tokenizer: join(folder, 'models', name),
        sequence: { length },
        keep: [],
        models: [{ role: 'reference', folder: join(folder, 'models', name) }],
      });
    expect((await run('declared/reference', 64)).versions).toEqual(FIRST_VERSIONS);
    expect((await run('named/reference', 64)).versions).toEqual({ ...FIRST_VERSIONS, tokenizing: 2 });
    expect((await run('window', 4096)).versions).toEqual(FIRST_VERSIONS);
    expect(await run('window', 4608)).toMatchObject({
      versions: { ...FIRST_VERSIONS, scoring: 2 },
      changes: [expect.stringContaining('sliding_window')],
    });
  });
});
