/** A worker that stands still, or is cut off from Redis, past its lease, and comes back: two writers, one output. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { openSlowPath } from './slow-path.mjs';
import {
  compare,
  lookAt,
  removeFolder,
  startCoordinator,
  startRedis,
  startWorker,
  stopAll,
} from './support.mjs';

export async function frozenWorkers({ pipeline, clean, folder, count, log }) {
  const records = [];
  for (let i = 0; i < count; i++) {
    const redis = await startRedis(join(folder, `redis-frozen-${i}`));
    records.push(
      await outOfReach({
        ...{ pipeline, clean, log, fault: 'worker frozen (SIGSTOP) past its lease, then woken' },
        place: redis,
        workerPlace: redis,
        leave: ({ child }) => child.kill('SIGSTOP'),
        comeBack: ({ child }) => child.kill('SIGCONT'),
      }),
    );
    await redis.kill();
  }
  return records;
}

const ip = (...args) => execFileSync('ip', args, { stdio: 'pipe' });

/** A worker in a network of its own (`ip netns`, a veth pair), whose link goes down with a part in work. */
export async function cutOffWorkers({ pipeline, clean, folder, count, log }) {
  const name = `tokensieve-${process.pid}`;
  const [outer, inner] = [`ts${process.pid % 10_000}a`, `ts${process.pid % 10_000}b`];
  ip('netns', 'add', name);
  try {
    ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner);
    ip('link', 'set', inner, 'netns', name);
    ip('addr', 'add', '10.231.77.1/30', 'dev', outer);
    ip('link', 'set', outer, 'up');
    ip('netns', 'exec', name, 'ip', 'addr', 'add', '10.231.77.2/30', 'dev', inner);
    ip('netns', 'exec', name, 'ip', 'link', 'set', inner, 'up');
    const records = [];
    for (let i = 0; i < count; i++) {
      const redis = await startRedis(join(folder, `redis-cut-${i}`), { bind: ['10.231.77.1'] });
      records.push(
        await outOfReach({
          ...{
            pipeline,
            clean,
            log,
            fault: 'worker cut off from Redis mid-part (network namespace), then back',
          },
          place: redis,
          workerPlace: { url: `redis://10.231.77.1:${redis.port}`, prefix: ['ip', 'netns', 'exec', name] },
          leave: () => ip('link', 'set', outer, 'down'),
          comeBack: () => ip('link', 'set', outer, 'up'),
        }),
      );
      await redis.kill();
    }
    return records;
  } finally {
    ip('netns', 'del', name);
  }
}

async function outOfReach({ pipeline, clean, log, fault, place, workerPlace, leave, comeBack }) {
  const { file, out } = pipeline('frozen');
  removeFolder(out);
  const first = startWorker(workerPlace);
  const coordinator = startCoordinator(file, place);
  const { shard, part } = await first.next(({ event }) => event === 'part-started');
  leave(first);
  const second = startWorker(place);
  await second.next((event) => event.event === 'part-done' && event.shard === shard && event.part === part);
  comeBack(first);
  const ended = await coordinator.over;
  if (ended.code !== 3) throw new Error(`the coordinator ended with ${ended.code}: ${ended.errors}`);
  // The first ends its part, which the second has made already.
  await wait(1_000);
  const both = [first, second].map(({ seen }) =>
    seen.some((event) => event.event === 'part-done' && event.shard === shard && event.part === part),
  );
  await stopAll([first, second]);
  const record = { fault, times: 1, madeByBoth: both.every(Boolean), ...compare(clean, lookAt(out)) };
  log(record);
  return record;
}

/** Workers whose way to Redis is slow and breaks: every connection is cut after a while. */
export async function slowPath({ pipeline, clean, folder, random, count, log }) {
  const records = [];
  for (let i = 0; i < count; i++) {
    const redis = await startRedis(join(folder, `redis-slow-${i}`));
    const path = await openSlowPath({ port: redis.port, random, delay: 100, jitter: 100, lifetime: 8_000 });
    const place = { url: `redis://127.0.0.1:${path.port}` };
    const { file, out } = pipeline('slow');
    removeFolder(out);
    const workers = [startWorker(place), startWorker(place)];
    const ended = await startCoordinator(file, redis).over;
    if (ended.code !== 3) throw new Error(`the coordinator ended with ${ended.code}: ${ended.errors}`);
    await stopAll(workers);
    await path.close();
    await redis.kill();
    const fault = 'slow path to Redis (100–200 ms each way), connections cut every few seconds';
    const record = { fault, times: path.cuts(), ...compare(clean, lookAt(out)) };
    records.push(record);
    log(record);
  }
  return records;
}
