import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ExportInput } from '#tokensieve/export/settings.js';
import { verifyExport } from '#tokensieve/export/verify.js';
import { writeLargeRun } from '../../fixtures/export/large-run.mjs';
import { digestFolder, filesBelow, runCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { temporaryFolder } from '../support/quickstart.js';
import { BOS, type CorpusSpec, EOS, exportTo, joined, storage, uint16s, writeCorpus } from './support.js';

const root = temporaryFolder();
const rules = {
  length: 32,
  packing: 'packed' as const,
  attention: 'across' as const,
  overlap: 8,
  bosId: BOS,
  eosId: EOS,
};
const spec: CorpusSpec = {
  rules,
  parts: Array.from({ length: 4 }, (_, part) =>
    Array.from({ length: 30 }, (_, i) => 20 + ((part + i * 7) % 90)),
  ),
  weight: (document, position) => (document + position) % 2,
};
const soft: CorpusSpec = { ...spec, weight: (document, position) => ((document + position) % 5) / 4 };
const run = join(root, 'run');
const softRun = join(root, 'soft');

beforeAll(async () => {
  await writeCorpus(run, spec);
  await writeCorpus(softRun, soft);
});

const outFolder = (): string => join(mkdtempSync(join(root, 'out-')), 'out');

describe('an export that is run again', () => {
  it.each(['hf', 'megatron', 'parquet'] as const)(
    '%s goes on from its manifests to the same bytes',
    async (to) => {
      const out = outFolder();
      const settings = { run, to, out, shard_bytes: 24_000 };
      const first = await exportTo(settings);
      expect(first.shards).toBeGreaterThan(1);
      const expected = digestFolder(out);
      const manifests = filesBelow(join(out, 'manifests'));
      rmSync(manifests[1] ?? '');
      rmSync(join(out, 'export.json'));
      // Data without a manifest, whole or not, is as good as none.
      const orphan = JSON.parse(readFileSync(manifests[0] ?? '', 'utf8')).outputs[0].name;
      rmSync(manifests[0] ?? '');
      truncateSync(join(out, orphan), 10);
      const again = await exportTo(settings);
      expect(again.resumed).toBe(first.shards - 2);
      expect({ ...again, seconds: 0, resumed: 0 }).toEqual({ ...first, seconds: 0 });
      expect(digestFolder(out)).toEqual(expected);
    },
  );

  it('refuses other settings and other sources, says what changed, and redoes with --replace', async () => {
    const out = outFolder();
    await exportTo({ run, to: 'nanogpt', out, shard_bytes: 8000 });
    const before = digestFolder(out);
    await expect(
      exportTo({ run, to: 'nanogpt', out, shard_bytes: 8000, sidecar: 'mask' }),
    ).rejects.toMatchObject({
      reach: 'usage',
      code: 'stale-shards',
      message: expect.stringMatching(/manifests\/00000\.json: .*sidecar: "weights" → "mask"/),
    });
    await expect(exportTo({ run: softRun, to: 'nanogpt', out, shard_bytes: 8000 })).rejects.toMatchObject({
      code: 'stale-shards',
    });
    await expect(exportTo({ run, to: 'nanogpt', out })).rejects.toMatchObject({ code: 'stale-shards' });
    expect(digestFolder(out)).toEqual(before);
    const one = await exportTo({ run, to: 'nanogpt', out }, true);
    expect(one).toMatchObject({ shards: 1, resumed: 0 });
    expect(Object.keys(digestFolder(out)).sort()).toEqual(
      ['export.json', 'manifests/00000.json', 'train.bin', 'train.weights.bin'].sort(),
    );
  });

  it.each([
    ['hf', 'train/state.json'],
    ['datatrove', 'export.json'],
  ] as const)(
    '%s made anew and killed leaves no description of the shards before',
    async (to, description) => {
      const out = outFolder();
      await exportTo({ run, to, out, shard_bytes: 4000 });
      expect(existsSync(join(out, description))).toBe(true);
      const other = { run: softRun, to, out, shard_bytes: 4000, threshold: 0.5 };
      expect((await exportProcess(other, '"part-done"', ['--replace'])).signal).toBe('SIGKILL');
      for (const name of [description, 'export.json']) expect(existsSync(join(out, name)), name).toBe(false);
      const clean = outFolder();
      await exportTo(other, true);
      await exportTo({ ...other, out: clean });
      expect(digestFolder(out)).toEqual(digestFolder(clean));
    },
  );

  it.each([
    ['datatrove', ['"part-started"', '"data-committed"', '"part-done"', '"data-committed"']],
    ['parquet', ['"progress"', '"data-committed"']],
    ['hf', ['"part-done"', '"progress"']],
  ] as const)('%s survives SIGKILL at several places', { timeout: 300_000 }, async (to, places) => {
    const out = outFolder();
    const settings = { run, to, out, shard_bytes: 4000 };
    await exportTo(settings);
    const expected = digestFolder(out);
    rmSync(out, { recursive: true });
    for (const event of places) {
      expect((await exportProcess(settings, event)).signal).toBe('SIGKILL');
    }
    expect(Object.keys(digestFolder(out)).length).toBeLessThan(Object.keys(expected).length);
    const unfinished = await verifyExport(storage, out);
    expect(unfinished.findings).toContainEqual({
      file: join(out, 'export.json'),
      reason: expect.stringContaining('is not finished'),
    });
    await exportTo(settings);
    expect(digestFolder(out)).toEqual(expected);
    expect(await verifyExport(storage, out)).toMatchObject({ findings: [], damaged: [] });
  });
});

describe('weights that are fractions', () => {
  const reason = { olmo: 'label_mask is of booleans', datatrove: 'hold a boolean a token' };
  it.each(['olmo', 'datatrove'] as const)(
    '%s: refused with the reason, taken with --threshold',
    async (to) => {
      const out = outFolder();
      await expect(exportTo({ run: softRun, to, out })).rejects.toMatchObject({
        reach: 'usage',
        code: 'fractional-weights',
        message: expect.stringContaining(reason[to]),
      });
      expect(filesBelow(out)).toEqual([]);
      const report = await exportTo({ run: softRun, to, out, threshold: 0.5 });
      const mask = [...joined(filesBelow(out).filter((path) => /label_mask|\.loss$/.test(path)))];
      await exportTo({ run: softRun, to: 'nanogpt', out: `${out}-w` });
      const weights = readFileSync(join(`${out}-w`, 'train.weights.bin'));
      expect(mask).toEqual(mask.map((_, i) => (weights.readFloatLE(4 * i) >= 0.5 ? 1 : 0)));
      expect(report.kept).toBe(mask.filter((bit) => bit === 1).length);
      expect(report.weight_sum).toBe(report.kept);
    },
  );

  it('that a manifest does not show are found at the token', async () => {
    // 0.5 and 1.5 sum to their number.
    const even = join(root, 'even');
    await writeCorpus(even, {
      ...spec,
      parts: [[8, 8]],
      weight: (_, position) => (position % 2 === 0 ? 0.5 : 1.5),
    });
    await expect(
      exportTo({ run: even, to: 'nanogpt', out: outFolder(), sidecar: 'labels' }),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/fractional-weights/),
      message: expect.stringMatching(/labels say only whether a token counts/),
    });
  });
});

it('an output that is gone or cut short is written again', async () => {
  const out = outFolder();
  await exportTo({ run, to: 'nanogpt', out, shard_bytes: 2048 });
  const before = digestFolder(out);
  const [cut, gone] = filesBelow(out).filter((path) => /train.*\d\.bin$/.test(path));
  writeFileSync(cut ?? '', readFileSync(cut ?? '').subarray(0, -2));
  rmSync(gone ?? '');
  const report = await exportTo({ run, to: 'nanogpt', out, shard_bytes: 2048 });
  expect(report.shards - report.resumed).toBe(2);
  expect(digestFolder(out)).toEqual(before);
});

describe('what cannot be exported', () => {
  it('a folder of two recipes', async () => {
    const mixed = join(root, 'mixed');
    await writeCorpus(mixed, { ...spec, parts: [[50], [60]] });
    const other = join(root, 'other');
    await writeCorpus(other, { ...spec, parts: [[50], [60]], rules: { ...rules, length: 16 } });
    const part = 'weighted/a/web.parquet/00001';
    for (const end of ['arrow', 'manifest.json'])
      cpSync(join(other, `${part}.${end}`), join(mixed, `${part}.${end}`));
    await expect(exportTo({ run: mixed, to: 'hf', out: outFolder() })).rejects.toMatchObject({
      code: 'mixed-recipes',
    });
  });

  it('a part whose file is not the one of its manifest', async () => {
    const damaged = join(root, 'damaged');
    await writeCorpus(damaged, { ...spec, parts: [[50]] });
    const path = join(damaged, 'weighted/a/web.parquet/00000.arrow');
    writeFileSync(path, readFileSync(path).subarray(0, -1));
    await expect(exportTo({ run: damaged, to: 'hf', out: outFolder() })).rejects.toMatchObject({
      code: 'part-changed',
    });
  });

  it('rows that do not continue one another', async () => {
    const broken = join(root, 'broken');
    await writeCorpus(broken, { ...spec, parts: [[50]] });
    const path = join(broken, 'weighted/a/web.parquet/00000.arrow');
    const bytes = readFileSync(path);
    const ids = uint16s(bytes.subarray(0, bytes.length & ~1));
    // The context id at the second row's start: BOS, 50 tokens, EOS in rows of 32; ids are int32 in one buffer.
    const first = bytes.indexOf(Buffer.from(Int32Array.of(BOS, 3).buffer));
    expect(first, `${ids.length}`).toBeGreaterThan(0);
    bytes.writeInt32LE(499, first + 4 * 32);
    writeFileSync(path, bytes);
    await expect(exportTo({ run: broken, to: 'nanogpt', out: outFolder() })).rejects.toMatchObject({
      code: 'part-changed',
      message: expect.stringContaining('is not the file that its manifest tells of'),
    });
    // A manifest that vouches for such rows: they are still held against one another.
    const manifestPath = path.replace('.arrow', '.manifest.json');
    const { digest: _, ...manifest } = JSON.parse(readFileSync(manifestPath, 'utf8'));
    manifest.outputs[0].sha256 = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(manifestPath, JSON.stringify(manifest));
    await expect(exportTo({ run: broken, to: 'nanogpt', out: outFolder() })).rejects.toMatchObject({
      code: 'part-changed',
      message: expect.stringContaining('row 1 begins with other ids'),
    });
  });

  it('ids beyond 16 bits as uint16; the input folder itself', async () => {
    await writeCorpus(join(root, 'larger'), {
      ...spec,
      parts: [Array.from({ length: 600 }, () => 1)],
      vocabulary: 10_000_000,
    });
    await expect(
      exportTo({ run: join(root, 'larger'), to: 'nanogpt', out: outFolder() }),
    ).rejects.toMatchObject({
      code: 'id-too-large',
      message: expect.stringContaining('--token-type uint32'),
    });
    await expect(exportTo({ run, to: 'hf', out: join(run, 'weighted') })).rejects.toMatchObject({
      code: 'out-is-input',
    });
  });
});

it('the command line: exit codes, what it says', async () => {
  const out = outFolder();
  const done = await runCli(['export', run, '--to', 'nanogpt', '--out', out, '--log', 'none']);
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toMatch(/^exported .* ids in .* rows to nanogpt: .* 1 shards/);
  const refused = await cliHere(['export', softRun, '--to', 'olmo', '--out', `${out}-2`, '--log', 'none']);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toMatch(/^tokensieve: .*its weights are fractions, and .*--threshold/);
});

it('memory does not grow with the corpus', { timeout: 300_000 }, async () => {
  const peak = async (tokens: number): Promise<number> => {
    const folder = join(root, `memory-${tokens}`);
    await writeLargeRun(folder, tokens);
    return Number((await exportProcess({ run: folder, to: 'hf', out: outFolder() })).stdout);
  };
  const small = await peak(500_000);
  const large = await peak(8_000_000);
  // 120 MB more of source, as much of output, in one output shard.
  expect(small).toBeGreaterThan(10);
  expect(large - small).toBeLessThan(60);
});

/** Runs an export in a process; one that is killed as soon as its events say `killAt`. */
async function exportProcess(settings: ExportInput, killAt?: string, flags: readonly string[] = []) {
  const script = fileURLToPath(new URL('export-process.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(settings), ...flags]);
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    if (killAt !== undefined && chunk.toString().includes(killAt)) child.kill('SIGKILL');
  });
  const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { stdout, signal };
}
