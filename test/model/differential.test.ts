import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { TokensieveError } from '#tokensieve/errors.js';
import { families } from '#tokensieve/model/architectures/index.js';
import { openCheckpoint } from '#tokensieve/model/checkpoint.js';
import { readConfiguration } from '#tokensieve/model/configuration.js';
import { buildGraph, describeModel } from '#tokensieve/model/prepare.js';
import { sessionOptions } from '#tokensieve/model/session-options.js';
import { encodeModel, toModelProto } from '#tokensieve/onnx/proto.js';
import { fnv1a, mix, writeGoldenCheckpoint } from '../support/oracle/golden.js';

/** fixtures/models/differential/*.json, as differential.py there writes them. */
interface Differential {
  readonly vocabulary: number;
  /** Length of a case's row where the case names none. */
  readonly row: number;
  /** The class that transformers builds where a case names no other. */
  readonly class: string;
  readonly base: Readonly<Record<string, unknown>>;
  readonly tensors: readonly Shapes[];
  readonly cases: readonly Case[];
}

type Shapes = Readonly<Record<string, readonly number[]>>;

interface Case {
  readonly name: string;
  /** Of the base; `<drop>` takes a field out. */
  readonly changes: Readonly<Record<string, unknown>>;
  readonly row?: number;
  /** transformers' losses of the row's last tokens. */
  readonly losses?: readonly number[];
  readonly class?: string;
  /** The model's tensors, as an index. */
  readonly tensors?: number;
  /** What a refusal must name. */
  readonly names?: string;
  readonly ours?: 'refuses' | 'accepts' | 'bounded';
  readonly longest?: number;
}

const folder = fileURLToPath(new URL('../../fixtures/models/differential/', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'differential-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const read = (name: string): Differential =>
  JSON.parse(readFileSync(join(folder, name), 'utf8')) as Differential;

const configOf = ({ base }: Differential, { changes }: Case): Record<string, unknown> =>
  Object.fromEntries(Object.entries({ ...base, ...changes }).filter(([, value]) => value !== '<drop>'));

/** The row of ids that differential.py gives to every case of this length. */
function rowOf(length: number, vocabulary: number): Int32Array {
  const seed = fnv1a('row');
  return Int32Array.from({ length }, (_, index) => mix(seed + index) % vocabulary);
}

/** By the shapes of their tensors: weights follow from names, so one folder serves every configuration of them. */
const folders = new Map<string, string>();

function checkpointFolder(golden: Differential, one: Case): string {
  const tensors = golden.tensors[one.tensors ?? 0] ?? {};
  const key = JSON.stringify(tensors);
  const known = folders.get(key);
  const into = known ?? join(scratch, `${folders.size}`);
  folders.set(key, into);
  const config = configOf(golden, one);
  if (known === undefined) writeGoldenCheckpoint({ config, dtype: 'F32', tensors }, into);
  else writeFileSync(join(into, 'config.json'), JSON.stringify(config));
  return into;
}

/** By the graph's bytes and its folder and row: a graph that was run is not run again. */
const ran = new Map<string, Promise<Float32Array>>();

/** The product's losses of the case's row, in nats. */
async function lossesOf(golden: Differential, one: Case): Promise<Float32Array> {
  const into = checkpointFolder(golden, one);
  const { graph, weightsFolder } = buildGraph(await openCheckpoint(into), {
    device: 'cpu',
    attention: 'across',
    entropy: false,
  });
  const bytes = encodeModel(toModelProto(graph));
  const length = one.row ?? golden.row;
  const key = `${createHash('sha256').update(bytes).digest('hex')} ${into} ${length}`;
  const losses = ran.get(key) ?? run(bytes, weightsFolder, rowOf(length, golden.vocabulary));
  ran.set(key, losses);
  return losses;
}

async function run(bytes: Uint8Array, weightsFolder: string, row: Int32Array): Promise<Float32Array> {
  const graphPath = join(scratch, 'graph.onnx');
  writeFileSync(graphPath, bytes);
  const options = sessionOptions({ weightsFolder }, { device: 'cpu', threads: 1 });
  const session = await InferenceSession.create(graphPath, options);
  try {
    const { loss } = await session.run({ input_ids: new Tensor('int32', row, [1, row.length]) });
    return loss!.data as Float32Array;
  } finally {
    await session.release();
  }
}

const files = readdirSync(folder).sort();

it('has a file for every family', () => {
  expect(files).toEqual(
    Object.keys(families)
      .map((name) => `${name}.json`)
      .sort(),
  );
});

describe.each(files)('%s: every configuration as transformers reads it', (file) => {
  const golden = read(file);
  const computed = golden.cases.filter(({ losses, ours }) => losses !== undefined && ours === undefined);
  const refused = golden.cases.filter(({ names }) => names !== undefined);
  const bounded = golden.cases.filter(({ ours }) => ours === 'bounded');
  const accepted = golden.cases.filter(({ ours }) => ours === 'accepts');

  it('holds at least 20 that are computed and 10 that are not', () => {
    expect(computed.length).toBeGreaterThanOrEqual(20);
    expect(refused.length).toBeGreaterThanOrEqual(10);
    expect(computed.length + refused.length + bounded.length + accepted.length).toBe(golden.cases.length);
  });

  it.each(computed)('$name', async (one) => {
    const { architecture } = await readConfiguration(join(checkpointFolder(golden, one), 'config.json'));
    expect(architecture).toBe(one.class ?? golden.class);
    const wanted = one.losses!;
    const found = (await lossesOf(golden, one)).slice(-wanted.length);
    const worst = Math.max(...found.map((value, index) => Math.abs(value - wanted[index]!)));
    expect(worst).toBeLessThan(1e-4);
  });

  it.each(refused)('refuses: $name', async (one) => {
    const error: unknown = await describeModel(checkpointFolder(golden, one)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(TokensieveError);
    const { message, code } = error as TokensieveError;
    expect(['bad-config', 'unknown-config-field', 'unknown-rope-type']).toContain(code);
    expect(message).toContain('config.json');
    expect(message).toContain(one.names);
  });

  if (bounded.length > 0) {
    it.each(bounded)('takes no longer rows: $name', async (one) => {
      const info = await describeModel(checkpointFolder(golden, one));
      expect([info.maxPositions, info.longestRow]).toEqual([one.longest, one.longest]);
      await expect(lossesOf(golden, one)).rejects.toThrow(/RotaryEmbedding/);
    });
  }

  it.each(accepted)('takes what transformers cannot: $name', async (one) => {
    expect((await describeModel(checkpointFolder(golden, one))).vocabularySize).toBe(golden.vocabulary);
  });
});
