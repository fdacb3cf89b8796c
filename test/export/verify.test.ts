import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { inspectionText } from '#tokensieve/cli/views/inspection.js';
import { verifyExport } from '#tokensieve/export/verify.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { canonicalJson, hashJson } from '#tokensieve/json/canonical-json.js';
import { digestFolder, filesBelow, runCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { temporaryFolder } from '../support/quickstart.js';
import { BOS, EOS, exportTo, storage, writeCorpus } from './support.js';

const root = temporaryFolder();
const run = join(root, 'run');
const options = { storage, cacheFolder: null };

beforeAll(async () => {
  await writeCorpus(run, {
    rules: { length: 32, packing: 'packed', attention: 'across', overlap: 8, bosId: BOS, eosId: EOS },
    parts: [Array.from({ length: 30 }, (_, i) => 20 + i), [50, 60]],
    weight: (document, position) => (document + position) % 2,
  });
});

async function exported(): Promise<string> {
  const out = join(mkdtempSync(join(root, 'out-')), 'out');
  await exportTo({ run, to: 'hf', out, shard_bytes: 8000 });
  return out;
}

/** Turns over one bit in the middle of a file. */
function damage(path: string): void {
  const bytes = readFileSync(path);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 4;
  writeFileSync(path, bytes);
}

describe('verify of an export', () => {
  it('a sound one, counted from its manifests', async () => {
    const out = await exported();
    const report = await verifyExport(storage, out);
    expect(report).toMatchObject({ findings: [], damaged: [] });
    const data = filesBelow(out).filter((path) => !/manifests|export\.json/.test(path));
    expect(report.files).toBe(data.length);
    expect(report.bytes).toBe(data.reduce((sum, path) => sum + readFileSync(path).length, 0));
    expect(report.sequences).toBe(40);
    expect(await runCli(['verify', `${out}/`])).toMatchObject({ code: 0, stderr: '' });
  });

  it('finds flipped bits, lost and foreign files; --repair and the same command mend it', async () => {
    const out = await exported();
    const before = digestFolder(out);
    const [first, second] = filesBelow(out).filter((path) => path.endsWith('.arrow'));
    damage(first ?? '');
    rmSync(second ?? '');
    damage(join(out, 'README.md'));
    writeFileSync(join(out, 'train/other.arrow'), 'x');
    const { findings, damaged } = await verifyExport(storage, out);
    expect(findings.map(({ file }) => file).sort()).toEqual(
      [first, second, join(out, 'README.md'), join(out, 'train/other.arrow')].sort(),
    );
    expect(damaged).toHaveLength(2);
    const told = await cliHere(['verify', out, '--repair']);
    expect(told.code).toBe(1);
    expect(told.stdout).toContain(`${first}: has sha256`);
    await exportTo({ run, to: 'hf', out, shard_bytes: 8000 });
    expect((await verifyExport(storage, out)).findings.map(({ file }) => file)).toEqual([
      join(out, 'train/other.arrow'),
    ]);
    rmSync(join(out, 'train/other.arrow'));
    expect(digestFolder(out)).toEqual(before);
  });

  it('a manifest whose sources, names or counts were changed', async () => {
    const out = await exported();
    const path = join(out, 'manifests/00000.json');
    const manifest = JSON.parse(readFileSync(path, 'utf8'));
    const found = async (change: object) => {
      // Sealed again: who changes a manifest on purpose can do so, and what it says must still fit.
      const { digest: _, ...content } = { ...manifest, ...change };
      writeFileSync(path, `${canonicalJson({ ...content, digest: hashJson(content) })}\n`);
      return (await verifyExport(storage, out)).findings.map(({ reason }) => reason).join('; ');
    };
    expect(await found({ sources: [] })).toContain('its fingerprint is not that of its recipe and sources');
    expect(await found({ outputs: [{ ...manifest.outputs[0], name: '../../secret' }] })).toContain(
      'not below',
    );
    expect(await found({ counts: { ...manifest.counts, tokens: 7 } })).toContain(
      'index and shards differ in tokens',
    );
    expect(await found({ shard: 'x' })).toContain('field shard');
    expect(await found({})).toBe('');
    writeFileSync(path, JSON.stringify({ ...manifest, shards: 7 }));
    expect((await verifyExport(storage, out)).findings[0]?.reason).toContain('digest');
  });
});

describe('inspect of an export', () => {
  it('the folder, its index and a manifest', async () => {
    const out = await exported();
    const folder = await inspect(out, options);
    expect(folder).toMatchObject({
      kind: 'export',
      format: 'hf',
      finished: true,
      source: 'weighted',
      method: 'slm',
      tokenizer: 'c'.repeat(64),
      sourceParts: 2,
    });
    expect(await inspect(join(out, 'export.json'), options)).toEqual(folder);
    const text = inspectionText(folder);
    expect(text).toMatch(/^export to hf/);
    expect(text).toContain('shard_bytes 8000');
    expect(text.split('\n').length).toBeLessThanOrEqual(40);
    const manifest = await inspect(join(out, 'manifests/00001.json'), options);
    expect(manifest).toMatchObject({ kind: 'export-manifest', shard: 1 });
    expect(inspectionText(manifest)).toMatch(/^manifest of an export to hf/);
  });

  it('one that was stopped', async () => {
    const out = await exported();
    rmSync(join(out, 'export.json'));
    rmSync(join(out, 'manifests/00000.json'));
    const found = await inspect(out, options);
    expect(found).toMatchObject({ kind: 'export', finished: false });
    expect(inspectionText(found)).toContain('UNFINISHED');
  });
});
