import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { joinPath } from '#tokensieve/storage/path.js';
import { PATIENCE } from '#tokensieve/storage/patience.js';
import { routedStorage } from '#tokensieve/storage/routed.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { digestFolder, filesBelow, type Outcome, runCli, startCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { faultProxy } from '../support/fault-proxy.js';
import { fileServer } from '../support/file-server.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';
import { ACCESS_KEY, hasS3, type S3Server, SECRET_KEY, s3Server } from '../support/s3-server.js';

const hasty = { ...PATIENCE, firstWaitMs: 10, longestWaitMs: 50 };
const quiet = { signal: new AbortController().signal, replace: false };

describe('a run over a network', async () => {
  const folder = temporaryFolder();
  const corpus = join(folder, 'corpus');
  const web = await fileServer();
  let inputs: QuickstartInputs;
  let files: string[];
  let expected: Record<string, string>;
  let server: S3Server;
  let storage: Storage;
  let root: string;
  let shards: string;

  async function score(
    shards: readonly string[],
    out: string,
    sink: (event: RunEvent) => void = () => undefined,
    storage: Storage = routedStorage({ patience: hasty }),
  ) {
    const pipeline = parsePipeline(
      {
        shards: [...shards],
        reference: inputs.reference,
        current: inputs.current,
        out,
        corpus: { part_bytes: 8192, keep: ['url'] },
        sequence: { length: 256 },
        score: { device: 'cpu' },
        run: { cache: join(folder, 'cache'), threads: 1, workers: 2 },
      },
      'test',
    );
    return scoreCorpus(pipeline, { ...quiet, storage, sink });
  }

  const commandLine = (shards: string, out: string): string[] => [
    ...['score', '--shards', shards, '--reference', inputs.reference, '--current', inputs.current],
    ...['--out', out, '--sequence-length', '256', '--part-bytes', '8192', '--device', 'cpu', '--log', 'json'],
    ...['--keep-columns', 'url', '--threads', '1', '--cache', join(folder, 'cache')],
  ];

  beforeAll(async () => {
    inputs = await quickstartInputs(join(folder, 'inputs'));
    const glob = await manySmallParts(corpus);
    files = filesBelow(corpus);
    for (const file of files) web.files.set(`/corpus/${relative(corpus, file)}`, readFileSync(file));
    await score([glob], join(folder, 'local'));
    const select = selectionSettings.parse({});
    await selectRun(join(folder, 'local'), join(folder, 'local/weighted'), select, {
      ...quiet,
      storage: routedStorage(),
      sink: () => undefined,
    });
    expected = dataOf(digestFolder(join(folder, 'local')));
    expect(Object.keys(expected).length).toBeGreaterThan(30);
    if (!hasS3) return;
    server = await s3Server();
    Object.assign(process.env, server.env);
    storage = routedStorage({ patience: hasty });
    root = `s3://${server.bucket}`;
    for (const file of files) {
      const staged = await storage.stage(`${root}/corpus/${relative(corpus, file)}`);
      await staged.write(readFileSync(file));
      await staged.commit();
    }
    shards = `${root}/corpus/**/*.{parquet,jsonl.gz}`;
  });

  afterAll(() => {
    if (hasS3) server.stop();
  });

  const urls = (): string[] => files.map((file) => `${web.url}/corpus/${relative(corpus, file)}`);
  const scored = () =>
    Object.fromEntries(Object.entries(expected).filter(([name]) => name.startsWith('scored/')));

  it('from a web server gives the bytes of a local one', async () => {
    await score(urls(), join(folder, 'web'));
    expect(dataOf(digestFolder(join(folder, 'web')))).toEqual(scored());
  });

  it('ends with the name of a shard that changes under way', async () => {
    const name = '/corpus/b/web.parquet';
    const before = web.files.get(name) ?? new Uint8Array();
    const swap = (event: RunEvent): void => {
      // One byte of text in another row group: size and footer stay.
      if (event.event === 'planned')
        web.files.set(
          name,
          Uint8Array.from(before, (byte, i) => (i === 100 ? byte ^ 1 : byte)),
        );
    };
    await expect(score(urls(), join(folder, 'changing'), swap)).rejects.toMatchObject({
      reach: 'fatal',
      code: expect.stringMatching(/^(object|shard)-changed$/),
      message: expect.stringContaining(`${web.url}${name}: `),
    });
    web.files.set(name, before);
    await score(urls(), join(folder, 'changing'));
    expect(dataOf(digestFolder(join(folder, 'changing')))).toEqual(scored());
  });

  describe.skipIf(!hasS3)('with an object store for input and output', () => {
    const said: Outcome[] = [];

    async function digests(out: string): Promise<Record<string, string>> {
      const found: Record<string, string> = {};
      for (const path of await storage.list(out)) {
        const { size } = await storage.stat(path);
        const bytes = await storage.readRange(path, 0, size);
        found[path.slice(out.length + 1)] = createHash('sha256').update(bytes).digest('hex');
      }
      return dataOf(found);
    }
    const cli = async (...args: string[]): Promise<Outcome> => {
      const outcome = await cliHere(args);
      said.push(outcome);
      return outcome;
    };

    it('gives the bytes of a local one; select, verify, diff, plan and inspect read it there', async () => {
      const out = `${root}/runs/one`;
      said.push(await runCli(commandLine(shards, out)));
      expect(said.at(-1)?.stderr).toContain('part-done');
      expect((await cli('select', out)).stdout).toContain('weighted files: s3://');
      expect(await digests(out)).toEqual(expected);
      expect(await cli('verify', out)).toMatchObject({ code: 0, stdout: expect.stringContaining(': sound') });
      const diff = await cli('diff', `${out}/weighted`, join(folder, 'local/weighted'));
      expect(diff).toMatchObject({ code: 0, stdout: expect.stringContaining('0 flipped') });
      const [, ...settings] = commandLine(shards, out).filter((arg) => !['--log', 'json'].includes(arg));
      const plan = await cli('plan', ...settings, '--json');
      expect(plan.stdout).toContain('b/web.parquet');
      expect((await cli('inspect', out)).stdout).toContain('parts');
      expect((await cli('inspect', `${root}/corpus/a/web.parquet`)).stdout).toContain('url');
    });

    it('goes on after SIGKILL, and two writers of one folder end with the same bytes', async () => {
      const out = `${root}/runs/two`;
      const args = commandLine(shards, out);
      for (const event of ['part-started', 'data-committed', 'part-done']) {
        const running = startCli(args, {
          onLine: (line) => {
            if (line.includes(`"${event}"`)) running.child.kill('SIGKILL');
          },
        });
        const killed = await running.outcome;
        said.push(killed);
        expect(killed.signal, killed.stderr).toBe('SIGKILL');
      }
      const both = [startCli(args), startCli(args)];
      for (const { outcome } of both) {
        said.push(await outcome);
        expect((await outcome).code, (await outcome).stderr).toBe(3);
      }
      expect(await digests(out)).toEqual(scored());
      // Those that were killed left their announcements; the others took theirs back.
      expect((await storage.list(`${out}/.writers`)).length).toBeLessThanOrEqual(3);
    });

    it('comes through a store that fails, throttles, cuts off and answers falsely', async () => {
      const proxy = await faultProxy(server.endpoint);
      let state = 7;
      const random = (): number => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
      };
      proxy.fault = () => {
        const drawn = random();
        if (drawn < 0.03) return { kind: 'status', status: 500 };
        if (drawn < 0.05) return { kind: 'status', status: 503 };
        if (drawn < 0.06) return { kind: 'status', status: 429, headers: { 'Retry-After': '0' } };
        if (drawn < 0.09) return { kind: 'truncated' };
        return drawn < 0.12 ? { kind: 'reset' } : undefined;
      };
      process.env['AWS_ENDPOINT_URL_S3'] = proxy.url;
      try {
        const out = `${root}/runs/three`;
        await score([shards], out, undefined, routedStorage({ patience: { ...hasty, requestMs: 5000 } }));
        expect(await digests(out)).toEqual(scored());
        expect(Object.values(proxy.faults).every((times) => times > 3)).toBe(true);
        expect(Object.keys(proxy.faults).sort()).toEqual(['reset', 'status', 'truncated']);
        // A tag that is not the one the shard was planned by.
        proxy.fault = () => undefined;
        let reads = 0;
        proxy.etag = ({ url = '', method }, etag) =>
          method === 'GET' && url.includes('a/web.parquet') && ++reads > 4 ? '"another"' : etag;
        await expect(
          score([shards], `${root}/runs/four`, undefined, routedStorage({ patience: hasty })),
        ).rejects.toMatchObject({
          code: expect.stringMatching(/-changed$/),
          message: expect.stringContaining('a/web.parquet: '),
        });
      } finally {
        process.env['AWS_ENDPOINT_URL_S3'] = server.endpoint;
      }
    });

    it('is refused to a writer with other settings while one lives', async () => {
      const out = `${root}/runs/five`;
      const running = startCli(commandLine(shards, out));
      for (;;) {
        if ((await storage.list(`${out}/.writers`)).length > 0) break;
        await wait(100);
      }
      running.child.kill('SIGSTOP');
      const other = commandLine(shards, out).map((arg) => (arg === '256' ? '128' : arg));
      expect(await cli(...other)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('is writing here'),
      });
      running.child.kill('SIGKILL');
      said.push(await running.outcome);
    });

    it('tells nobody its keys', async () => {
      const everything = JSON.stringify(said);
      expect(said.length).toBeGreaterThan(8);
      expect(everything).not.toContain(SECRET_KEY);
      expect(everything).not.toContain(ACCESS_KEY);
      for (const path of await storage.list(joinPath(root, 'runs'))) {
        const { size } = await storage.stat(path);
        expect(Buffer.from(await storage.readRange(path, 0, size)).includes(SECRET_KEY), path).toBe(false);
      }
    });
  });
});

/** What a run leaves but its notes of hosts, times and paths. */
const dataOf = (digests: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(digests).filter(([name]) => /^(scored|weighted)\//.test(name)));
