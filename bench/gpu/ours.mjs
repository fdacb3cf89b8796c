/** The product's side: graphs, sessions and their speed. All that knows its modules by name is here. */
import { availableParallelism } from 'node:os';
import { settleTf32, usesTf32 } from '../../dist/device/tf32.js';
import { prepareModel } from '../../dist/model/prepare.js';
import { openSession } from '../../dist/score/session.js';
import { randomBatch } from '../support/batch.mjs';

/** Calls in flight, as the scoring stage has. */
const IN_FLIGHT = 3;

/** Forward FLOPs a token, `matmul + attention · T` as every estimate of the product counts them (causal: half of T). */
export const flopsOf = ({ flopsPerToken }, length) =>
  flopsPerToken.matmul + flopsPerToken.attentionPerContextToken * length;

/** The scoring graph of a checkpoint for batches of one shape. */
export function prepare(folder, { device, precision, rows, length, cache, headProduct }) {
  return prepareModel(folder, {
    device,
    attention: 'across',
    entropy: false,
    cacheFolder: cache,
    ...(device === 'cuda' && { precision, batch: { rows, length }, headProduct }),
  });
}

/** Sessions, one a model, each in its thread. */
export async function openModels(models, device, precision) {
  if (device === 'cuda') settleTf32(usesTf32(precision));
  const threads = Math.max(1, Math.floor(availableParallelism() / models.length));
  const settled = await Promise.allSettled(
    models.map((model, i) => openSession(model, { device, threads, role: `model ${i}` })),
  );
  const failed = settled.find(({ status }) => status === 'rejected');
  const sessions = settled.flatMap(({ value }) => (value === undefined ? [] : [value]));
  const close = () => Promise.all(sessions.map((session) => session.close()));
  if (failed) {
    await close();
    throw failed.reason;
  }
  return { sessions, close };
}

/** Rows of a length that a number of tokens holds. */
export const rowsOf = (batchTokens, length) => Math.max(1, Math.floor(batchTokens / length));

/** A batch of random ids. Sessions are sent copies: what is posted to a thread may be moved there. */
export const makeBatch = (rows, length, vocabulary) => randomBatch({ rows, length }, vocabulary);
const copyOf = (batch) => ({ ...batch, ids: batch.ids.slice() });

/**
 * Calls for some seconds, after two that do not count, and says what they took.
 * `call` is one batch through whatever is measured.
 */
export async function timeCalls(call, seconds, watch, inFlight = IN_FLIGHT) {
  for (let i = 0; i < 2; i++) await call();
  const [began, cpu, loop] = [performance.now(), process.cpuUsage(), performance.eventLoopUtilization()];
  let calls = 0;
  const lane = async () => {
    do {
      await call();
      calls++;
    } while (performance.now() - began < seconds * 1000);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const ended = performance.now();
  const wall = (ended - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    calls,
    seconds: wall,
    /** CPU-seconds a second over all threads of this process, and the main thread's share of busy time. */
    host_cores: (user + system) / 1e6 / wall,
    main_thread_busy: performance.eventLoopUtilization(loop).utilization,
    gpu: watch.window(began, ended),
  };
}

/** How batches go through models: one alone, both at once, or one after the other. */
export const modes = {
  one: ([first], batch) => first.score(copyOf(batch)),
  pair: (sessions, batch) => Promise.all(sessions.map((session) => session.score(copyOf(batch)))),
  'pair in turn': async (sessions, batch) => {
    for (const session of sessions) await session.score(copyOf(batch));
  },
};
