/** SIGKILL of Redis in the middle of runs; it comes back with what it kept, or with nothing. */
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import {
  compare,
  lookAt,
  removeFolder,
  startCoordinator,
  startRedis,
  startWorker,
  stopAll,
} from './support.mjs';

const PER_RUN = 5;

export async function redisKills({ pipeline, clean, folder, random, count, persistent, log }) {
  const records = [];
  for (let done = 0; done < count; ) {
    const data = join(folder, `redis-${persistent}-${done}`);
    const redis = await startRedis(data, { persistent });
    const { file, out } = pipeline('redis');
    removeFolder(out);
    const workers = [startWorker(redis), startWorker(redis)];
    const coordinator = startCoordinator(file, redis);
    let kills = 0;
    while (kills < PER_RUN && done + kills < count && !coordinator.isOver()) {
      const part = workers[kills % 2].next(({ event }) => event === 'part-started' || event === 'part-done');
      await Promise.race([part, coordinator.over, wait(20_000)]);
      await wait(random() * 500);
      if (coordinator.isOver()) break;
      await redis.kill();
      kills++;
      log({ fault: 'Redis killed', persistent, kill: done + kills, parts: lookAt(out).counts.parts });
      await wait(random() * 1_500);
      await redis.start();
    }
    const ended = await coordinator.over;
    if (ended.code !== 3) throw new Error(`the coordinator ended with ${ended.code}: ${ended.errors}`);
    await stopAll(workers);
    await redis.kill();
    removeFolder(data);
    const fault = `SIGKILL of Redis, ${persistent ? 'append-only file' : 'nothing kept'}`;
    const record = { fault, times: kills, ...compare(clean, lookAt(out)) };
    records.push(record);
    log(record);
    done += Math.max(kills, 1);
  }
  return records;
}
