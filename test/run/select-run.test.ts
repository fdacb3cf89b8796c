import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Manifest } from '#tokensieve/dataset/manifest.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { storage, writePart } from '../dataset/runs.js';
import { filesBelow } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';

describe('a selection run', () => {
  const root = temporaryFolder();
  let runs = 0;

  /** A run of two scored parts. */
  async function scoredRun(manifest?: (manifest: Manifest) => Manifest): Promise<string> {
    const run = join(root, `run-${runs++}`);
    await writePart(join(run, 'scored'));
    await writePart(join(run, 'scored'), { part: 1, ...(manifest && { manifest }) });
    return run;
  }

  const select = (run: string, out: string, replace = false) =>
    selectRun(run, out, selectionSettings.parse({ method: 'slm', keep: 0.5, allow_constant: true }), {
      storage,
      sink: () => undefined,
      signal: new AbortController().signal,
      replace,
    });

  it('finds its finished parts however the folder is spelled', async () => {
    const run = await scoredRun();
    const out = `./${relative(process.cwd(), join(run, 'by-path'))}`;
    expect(await select(run, out)).toMatchObject({ parts: 2, resumed: 0 });
    expect(await select(`${run}/scored/`, `${out}/`)).toMatchObject({ parts: 2, resumed: 2 });
  });

  it('reads a run whose own folder is called scored', async () => {
    const run = join(root, 'scored');
    await writePart(join(run, 'scored'));
    expect(await select(run, join(root, 'elsewhere'))).toMatchObject({ parts: 1 });
  });

  it('never writes over the scored files, even when told to replace', async () => {
    const run = await scoredRun();
    await expect(select(run, join(run, 'scored'), true)).rejects.toMatchObject({ code: 'out-is-input' });
  });

  it('refuses a manifest that points out of its folder', async () => {
    const misplaced = await scoredRun((manifest) => ({ ...manifest, shard: 'elsewhere.parquet' }));
    await expect(select(misplaced, join(misplaced, 'deep/weighted'))).rejects.toMatchObject({
      code: 'misplaced-part',
    });
    expect(existsSync(join(misplaced, 'deep'))).toBe(false);
    const run = await scoredRun();
    const path = filesBelow(join(run, 'scored')).find((name) => name.endsWith('.manifest.json')) ?? '';
    const manifest = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...manifest, shard: '../../escaped' }));
    await expect(select(run, join(run, 'deep/weighted'))).rejects.toMatchObject({ code: 'bad-manifest' });
    expect(existsSync(join(run, 'deep'))).toBe(false);
  });

  it('refuses weighted parts whose scored part is gone, and removes them when told to', async () => {
    const run = await scoredRun();
    const out = join(run, 'weighted');
    await select(run, out);
    const weighted = filesBelow(out);
    const scored = filesBelow(join(run, 'scored'));
    for (const path of scored.filter((name) => name.includes('/00001.'))) rmSync(path);
    await expect(select(run, out)).rejects.toMatchObject({ code: 'stale-parts', reach: 'usage' });
    expect(filesBelow(out)).toEqual(weighted);
    await select(run, out, true);
    expect(filesBelow(out)).toEqual(weighted.filter((name) => !name.includes('/00001.')));
    // Scored parts below the folder are no weighted ones.
    await select(run, run, true);
    expect(filesBelow(join(run, 'scored'))).toEqual(scored.filter((name) => !name.includes('/00001.')));
  });

  it('stops within the passes that come before weighing', async () => {
    const run = await scoredRun();
    const reason = new Error('stop');
    const settings = selectionSettings.parse({ method: 'slm', keep: 0.5, scope: 'dataset' });
    const stopped = selectRun(run, join(run, 'weighted'), settings, {
      storage,
      sink: () => undefined,
      signal: AbortSignal.abort(reason),
      replace: false,
    });
    await expect(stopped).rejects.toBe(reason);
    expect(filesBelow(join(run, 'weighted'))).toEqual([]);
  });

  it('refuses parts of two versions of a shard', async () => {
    const run = await scoredRun((manifest) => ({ ...manifest, input: { ...manifest.input, size: 999 } }));
    await expect(select(run, join(run, 'weighted'))).rejects.toMatchObject({
      code: 'mixed-inputs',
      message: expect.stringContaining('size: 1000 → 999'),
    });
  });

  it('refuses data that another run put under the manifest', async () => {
    const run = await scoredRun((manifest) => ({ ...manifest, fingerprint: 'f'.repeat(64) }));
    await expect(select(run, join(run, 'weighted'))).rejects.toMatchObject({ code: 'part-changed' });
  });
});
