import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportRun } from '#tokensieve/export/export-run.js';
import type { ExportInput } from '#tokensieve/export/settings.js';
import { parseExport } from '#tokensieve/export/settings.js';
import { verifyExport } from '#tokensieve/export/verify.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { claimFolder } from '#tokensieve/storage/folder-claim.js';
import { PATIENCE } from '#tokensieve/storage/patience.js';
import { routedStorage } from '#tokensieve/storage/routed.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { digestFolder, runCli } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';
import { hasS3, type S3Server, s3Server } from '../support/s3-server.js';
import { BOS, EOS, exportTo, writeCorpus } from './support.js';

describe.skipIf(!hasS3)('exports to an object store', async () => {
  const root = temporaryFolder();
  const run = join(root, 'run');
  let server: S3Server;
  let storage: Storage;
  let bucket = '';

  beforeAll(async () => {
    server = await s3Server();
    Object.assign(process.env, server.env);
    storage = routedStorage({ patience: { ...PATIENCE, firstWaitMs: 10, longestWaitMs: 50 } });
    bucket = `s3://${server.bucket}`;
    await writeCorpus(run, {
      rules: { length: 32, packing: 'packed', attention: 'across', overlap: 8, bosId: BOS, eosId: EOS },
      parts: Array.from({ length: 3 }, (_, part) =>
        Array.from({ length: 30 }, (_, i) => 20 + ((part + i * 7) % 90)),
      ),
      weight: (document, position) => (document + position) % 2,
    });
  });
  afterAll(() => server.stop());

  const exportThere = (settings: ExportInput, signal = new AbortController().signal) =>
    exportRun(parseExport(settings, 'test'), { storage, sink: () => undefined, signal, replace: false });
  const objects = (out: string): Record<string, string> => digestFolder(join(server.folder, out));

  it.each(['hf', 'megatron', 'parquet'] as const)(
    '%s: the bytes of a local export; stopped, it goes on',
    async (to) => {
      const local = join(mkdtempSync(join(root, 'out-')), 'out');
      const settings = { run, to, shard_bytes: 12_000 };
      await exportTo({ ...settings, out: local });
      const out = `${bucket}/exports/${to}`;
      const stopped = new AbortController();
      await expect(
        exportRun(parseExport({ ...settings, out }, 'test'), {
          storage,
          sink: ({ event }) => event === 'part-done' && stopped.abort(new Error('stopped')),
          signal: stopped.signal,
          replace: false,
        }),
      ).rejects.toThrow('stopped');
      expect(
        Object.keys(objects(`exports/${to}`)).filter((name) => name.startsWith('manifests/')),
      ).toHaveLength(1);
      const report = await exportThere({ ...settings, out });
      expect(report.resumed).toBe(1);
      expect(objects(`exports/${to}`)).toEqual(digestFolder(local));
      expect(await storage.list(`${out}/.writers`)).toEqual([]);
      expect(await verifyExport(storage, out)).toMatchObject({ findings: [], damaged: [] });
      expect(await inspect(out, { storage, cacheFolder: null })).toMatchObject({
        kind: 'export',
        finished: true,
      });
    },
  );

  it('from a run in the store to the store, by the command line; damage is found there and mended', async () => {
    for (const path of await storage.list(run)) {
      const { size } = await storage.stat(path);
      const file = await storage.stage(`${bucket}/run${path.slice(run.length)}`);
      await file.write(await storage.readRange(path, 0, size));
      await file.commit();
    }
    const [from, out] = [`${bucket}/run`, `${bucket}/there`];
    const command = ['export', from, '--to', 'olmo', '--out', out, '--log', 'none'];
    expect(await runCli(command)).toMatchObject({ code: 0, stderr: '' });
    const before = objects('there');
    const mask = await storage.stage(`${out}/label_mask/00000.npy`);
    await mask.write(Buffer.alloc((await storage.stat(mask.path)).size, 1));
    await mask.commit();
    const found = await runCli(['verify', out, '--repair']);
    expect(found.code).toBe(1);
    expect(found.stdout).toContain(`${out}/label_mask/00000.npy: has sha256`);
    expect(await runCli(command)).toMatchObject({ code: 0 });
    expect(objects('there')).toEqual(before);
    await expect(exportThere({ run: from, to: 'olmo', out: `${from}/weighted` })).rejects.toMatchObject({
      code: 'out-is-input',
    });
  });

  it('a folder that another writer has claimed is refused', async () => {
    const claim = await claimFolder(`${bucket}/busy`, 'other settings', storage);
    await expect(exportThere({ run, to: 'nanogpt', out: `${bucket}/busy` })).rejects.toMatchObject({
      code: 'folder-busy',
    });
    await claim.release();
    expect(await exportThere({ run, to: 'nanogpt', out: `${bucket}/busy` })).toMatchObject({ resumed: 0 });
  });
});
