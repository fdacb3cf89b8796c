import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { safetensorsBytes, writeRandomCheckpoint } from '../support/checkpoints.js';
import { runCli } from '../support/cli.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';

// Tensors that no one uses are told by whatever runs a model, and a folder that is none before its tokenizer is missed.
const scratch = temporaryFolder();
const model = join(scratch, 'model');
const docs = join(scratch, 'docs.jsonl');
const unused = 'model.layers.0.mlp.gate_proj.bias';

beforeAll(async () => {
  const { reference } = await quickstartInputs(join(scratch, 'inputs'));
  writeRandomCheckpoint(model, {
    architecture: 'LlamaForCausalLM',
    seed: 1,
    shards: 2,
    overrides: { vocab_size: 512 },
  });
  // A shard that the index does not know of would not be read: the first one is written again with a tensor more.
  const shard = join(model, 'model-00001-of-00002.safetensors');
  const bytes = readFileSync(shard);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = Object.entries(header).flatMap(([name, { dtype, shape, data_offsets: place }]) =>
    name === '__metadata__'
      ? []
      : [{ name, dtype, shape, bytes: bytes.subarray(8 + length + place[0], 8 + length + place[1]) }],
  );
  const extra = { name: unused, dtype: 'F32', shape: [77], bytes: Buffer.alloc(4 * 77, 1) };
  writeFileSync(shard, safetensorsBytes([...tensors, extra]));
  copyFileSync(join(reference, 'tokenizer.json'), join(model, 'tokenizer.json'));
  writeFileSync(docs, '{"text": "One and one are two, and two and two are four."}\n');
}, 120_000);

const scoreArgs = (folder: string, out: string): string[] => [
  ...['score', '--shards', docs, '--reference', folder, '--sequence-length', '16'],
  ...['--device', 'cpu', '--log', 'json', '--out', join(scratch, out)],
];

describe('the log', () => {
  it('of score names unused tensors as a warning, and the run goes on', async () => {
    const { code, stderr: err } = await runCli(scoreArgs(model, 'scored'));
    expect(code).toBe(0);
    const warnings = err
      .split('\n')
      .flatMap((line) =>
        line.startsWith('{') ? [JSON.parse(line) as { event: string; message: string }] : [],
      )
      .filter(({ event }) => event === 'warning');
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /model\.safetensors\.index\.json: tensor .*gate_proj\.bias is in the files and not in it/,
      ),
      expect.stringMatching(/1 tensor\(s\) of its files are not used.*gate_proj\.bias/),
    ]);
  }, 60_000);

  it('of eval does too', async () => {
    const out = join(scratch, 'eval');
    const args = [
      'eval',
      '--model',
      model,
      '--held-out',
      `held=${docs}`,
      '--device',
      'cpu',
      '--log',
      'json',
      '--out',
      out,
    ];
    const { code, stderr: err } = await runCli(args);
    expect(err).toContain(unused);
    expect(code).toBe(0);
  }, 60_000);

  it('and model info lists them, as text and as JSON', async () => {
    const text = await runCli(['model', 'info', model]);
    expect(text.stdout).toMatch(/not used +1: model\.layers\.0\.mlp\.gate_proj\.bias/);
    expect(text.stdout).toMatch(/warning: .*gate_proj\.bias/);
    const { tensors } = JSON.parse((await runCli(['model', 'info', model, '--json'])).stdout) as {
      tensors: Record<string, unknown>;
    };
    expect(tensors).toEqual({ used: 30, unused: [unused], buffers: [], copies: [], unreadFiles: [] });
  }, 60_000);
});

it('a GGUF is told for what it is, not by the tokenizer that it lacks', async () => {
  const folder = join(scratch, 'gguf');
  mkdirSync(folder);
  writeFileSync(join(folder, 'tiny.gguf'), 'GGUF');
  const { code, stderr: err } = await runCli(scoreArgs(folder, 'none'));
  expect(code).toBe(1);
  expect(err.trim().split('\n').at(-1)).toMatch(/^tokensieve: .*is a model in GGUF.*llama\.cpp/);
  expect(err).not.toContain('tokenizer');
}, 60_000);
