/** Tokens/s of scoring, one model and the pair, by row length. A pair's token is scored by both. */
import { peakRss } from '../../support/measure.mjs';
import { flopsOf, makeBatch, modes, openModels, prepare, rowsOf, timeCalls } from '../ours.mjs';

export async function score(job, { watch, emit, timeLeft, checkpoints, shares }) {
  const folders = await checkpoints(job.size);
  for (const length of job.lengths) {
    const rows = rowsOf(job.batchTokens, length);
    const { device, precision, cache, headProduct } = job;
    const settings = { device, precision, rows, length, cache, headProduct };
    const began = performance.now();
    const models = [await prepare(folders.reference, settings), await prepare(folders.current, settings)];
    const opened = await openModels(models, job.device, job.precision);
    const opening = (performance.now() - began) / 1000;
    try {
      const batch = makeBatch(rows, length, models[0].info.vocabularySize);
      const flops = flopsOf(models[0].info, length);
      for (const [mode, call] of Object.entries(modes)) {
        if (timeLeft() < 2 * job.seconds) return emit({ length, mode, skipped: 'out of time' });
        const inTurn = mode === 'pair in turn';
        const timed = await timeCalls(
          () => call(opened.sessions, batch),
          job.seconds,
          watch,
          inTurn ? 1 : undefined,
        );
        const rate = (timed.calls * rows * length) / timed.seconds;
        emit({
          ...{ length, rows, mode, precision: job.precision, tokens_per_s: rate },
          ...shares(rate * flops * (mode === 'one' ? 1 : 2)),
          ...timed,
          rss_bytes: peakRss(),
          opening_s: opening,
        });
      }
    } finally {
      await opened.close();
    }
  }
}
