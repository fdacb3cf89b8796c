/** SIGKILL of workers and of the coordinator at random moments, each begun again at once. */
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import {
  compare,
  landing,
  lookAt,
  removeFolder,
  startCoordinator,
  startRedis,
  startWorker,
  stopAll,
} from './support.mjs';

const WORKERS = 3;
/** Kills of one run, after which it may end in peace. */
const MOST_PER_RUN = 40;

/** @returns one record a run: its kills, where they landed, and what was wrong afterwards */
export async function randomKills({ pipeline, clean, folder, random, count, log }) {
  const records = [];
  for (let done = 0; done < count; ) {
    const redis = await startRedis(join(folder, 'redis-kills'));
    const { file, out } = pipeline('kills');
    removeFolder(out);
    const workers = Array.from({ length: WORKERS }, () => startWorker(redis));
    let coordinator = startCoordinator(file, redis);
    const landings = {};
    let kills = 0;
    while (true) {
      // From time to time nobody is killed at random, but as soon as a part's data is committed.
      if (kills < MOST_PER_RUN && done + kills < count) {
        const index = Math.floor(random() * WORKERS);
        const isCoordinator = random() < 0.12;
        const victim = isCoordinator ? coordinator : workers[index];
        const mode = random();
        if (!isCoordinator && mode < 0.35) {
          await Promise.race([
            victim.next(({ event }) => event === 'data-committed'),
            coordinator.over,
            wait(15_000),
          ]);
        } else if (!isCoordinator && mode < 0.75) {
          await Promise.race([
            victim.next(({ event }) => event === 'part-started'),
            coordinator.over,
            wait(15_000),
          ]);
          await wait(random() * 300);
        } else await wait(random() * 3_000);
        if (!coordinator.isOver() && !victim.isOver()) {
          const where = `${isCoordinator ? 'coordinator' : 'worker'} ${landing(victim)}`;
          victim.child.kill('SIGKILL');
          await victim.over;
          kills++;
          landings[where] = (landings[where] ?? 0) + 1;
          log({ fault: 'SIGKILL', kill: done + kills, where });
          if (isCoordinator) coordinator = startCoordinator(file, redis);
          else workers[index] = startWorker(redis);
        }
      }
      const ended = await Promise.race([
        coordinator.over,
        wait(kills < MOST_PER_RUN && done + kills < count ? 0 : 200).then(() => null),
      ]);
      if (ended !== null) {
        if (ended.code !== 3) throw new Error(`the coordinator ended with ${ended.code}: ${ended.errors}`);
        break;
      }
    }
    await stopAll([...workers, coordinator]);
    await redis.kill();
    const record = {
      fault: 'SIGKILL of workers and coordinator',
      times: kills,
      landings,
      ...compare(clean, lookAt(out)),
    };
    records.push(record);
    log(record);
    done += Math.max(kills, 1);
  }
  return records;
}
