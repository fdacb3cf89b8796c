import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routedStorage } from '#tokensieve/storage/routed.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { startInQueue, startWorker, timesMade, type Worker } from '../queue/run-in-queue.js';
import { filesBelow, type RunningCli, runCli, startCli } from '../support/cli.js';
import { quickstartInputs, shardsOfManyParts, temporaryFolder } from '../support/quickstart.js';
import { redisServerPath, startRedis, type TestRedis } from '../support/redis.js';
import { hasS3, type S3Server, s3Server } from '../support/s3-server.js';

/** A folder of parquet shards to take instead of generated ones. */
const SHARDS = process.env['EXECUTORS_SHARDS'];
/** Rows of each shard that are scored; 0 for all of them. */
const ROWS = Number(process.env['EXECUTORS_ROWS'] ?? 30);
/** Where to write which file had which digest under which executor. */
const SUMS = process.env['EXECUTORS_SUMS'];

/** sha256 of every data file and manifest, by path below the output folder. */
type Sums = Readonly<Record<string, string>>;

describe.skipIf(!hasS3 || redisServerPath === null)(
  'one pipeline with input and output in an object store',
  // Minutes where seconds are enough: what waits for a process ends with that process, so that nothing hangs till then.
  { timeout: SHARDS === undefined ? 300_000 : 1_800_000 },
  () => {
    const folder = temporaryFolder();
    const found = new Map<string, Sums>();
    let server: S3Server;
    let redis: TestRedis;
    let storage: Storage;
    let root: string;
    let pipelineOf: (out: string) => string;
    const started: RunningCli[] = [];
    const keep = <T extends RunningCli>(process: T): T => {
      started.push(process);
      return process;
    };

    beforeAll(async () => {
      server = await s3Server();
      redis = await startRedis();
      Object.assign(process.env, server.env);
      storage = routedStorage();
      root = `s3://${server.bucket}`;
      const corpus = SHARDS ?? join(folder, 'corpus');
      if (SHARDS === undefined) await shardsOfManyParts(corpus);
      const shards = filesBelow(corpus).filter((path) => path.endsWith('.parquet'));
      for (const [i, path] of shards.entries()) {
        const staged = await storage.stage(`${root}/shards/${i}-${basename(path)}`);
        await staged.write(readFileSync(path));
        await staged.commit();
      }
      const { reference, current } = await quickstartInputs(join(folder, 'inputs'));
      const rows = [
        `shards: ['${root}/shards/*.parquet']`,
        'sequence: { length: 256 }',
        `corpus: { part_bytes: ${SHARDS === undefined ? 16384 : 65536}${ROWS === 0 ? '' : `, limit: ${ROWS}`} }`,
      ].join(', ');
      pipelineOf = (out) =>
        `stages:\n  - score: { ${rows}, reference: ${reference}, current: ${current}, out: ${out}, score: { device: cpu }, run: { threads: 1, cache: ${join(folder, 'cache')} } }\n  - select: { run: ${out} }\n`;
    });

    afterAll(async () => {
      for (const { child } of started) child.kill('SIGKILL');
      if (hasS3) server.stop();
      await redis?.close();
    });

    /** Writes the pipeline into `${root}/runs/name` and has `make` run it; every manifest must be there once afterwards. */
    async function under(name: string, make: (file: string) => Promise<void>): Promise<void> {
      const out = `${root}/runs/${name}`;
      const file = join(folder, `${name}.yaml`);
      writeFileSync(file, pipelineOf(out));
      await make(file);
      const sums: Record<string, string> = {};
      for (const path of await storage.list(out)) {
        const inside = path.slice(out.length + 1);
        if (!/^(scored|weighted)\//.test(inside)) continue;
        const bytes = await storage.readRange(path, 0, (await storage.stat(path)).size);
        sums[inside] = createHash('sha256').update(bytes).digest('hex');
      }
      found.set(name, sums);
    }
    const manifestsOf = (sums: Sums | undefined): number =>
      Object.keys(sums ?? {}).filter((path) => /^scored\/.*\.manifest\.json$/.test(path)).length;

    it('is run by one process', async () => {
      await under('local', async (file) => {
        const { code, stderr } = await runCli(['run', file, '--log', 'none']);
        expect(code, stderr).toBe(0);
      });
      // Several to each of the three that share them.
      expect(manifestsOf(found.get('local'))).toBeGreaterThan(9);
    });

    it('by an array of three, one of them killed and started again', async () => {
      await under('array', async (file) => {
        const share = (i: number, onLine: (line: string) => void = () => undefined) =>
          keep(
            startCli(['run', file, '--array-index', String(i), '--array-count', '3', '--log', 'json'], {
              onLine,
            }),
          );
        const killed = share(
          1,
          (line) => void (line.includes('"data-committed"') && killed.child.kill('SIGKILL')),
        );
        const others = [share(0), share(2)];
        expect((await killed.outcome).signal).toBe('SIGKILL');
        for (const { outcome } of [share(1), ...others]) {
          const { code, stderr } = await outcome;
          expect(code, stderr).toBe(0);
        }
        const { code, stderr } = await runCli(['run', file, '--log', 'json']);
        expect(code, stderr).toBe(0);
        // It only listed what the three had made.
        const [scoring = '', ...later] = stderr
          .split(/^(?=.*"event":"stage")/m)
          .filter((part) => part !== '');
        expect(later).toHaveLength(1);
        expect(scoring).not.toContain('part-started');
      });
      expect(found.get('array')).toEqual(found.get('local'));
    });

    it('and by a queue of three workers, one of them killed', async () => {
      const workers = [0, 1, 2].map(() => keep(startWorker(redis)));
      let others: Worker[] = [];
      await under('queue', async (file) => {
        const following = keep(startInQueue(redis, ['enqueue', file, '--follow']));
        // Whichever has a part first: where there are few, a worker may get none.
        const first = Promise.any(
          workers.map(async (worker) => {
            await worker.seen('data-committed');
            return worker;
          }),
        );
        const none = following.outcome.then(({ stderr }) => {
          throw new Error(`enqueue ended before a worker had made a part: ${stderr}`);
        });
        const killed = await Promise.race([first, none]);
        killed.child.kill('SIGKILL');
        expect((await killed.outcome).signal).toBe('SIGKILL');
        others = workers.filter((worker) => worker !== killed);
        const { code, stderr } = await following.outcome;
        expect(code, stderr).toBe(0);
        for (const { child } of others) child.kill('SIGTERM');
        await Promise.all(others.map(({ outcome }) => outcome));
      });
      expect(found.get('queue')).toEqual(found.get('local'));
      const made = timesMade(others);
      expect(made.size).toBeGreaterThanOrEqual(manifestsOf(found.get('local')) - 1);
      if (SUMS !== undefined) writeFileSync(SUMS, `${JSON.stringify(Object.fromEntries(found), null, 1)}\n`);
    });
  },
);
