/**
 * The real pipeline from parquet to committed Arrow files, tokenizer included, beside the same pair of sessions fed
 * batches of the same shape: the share of the scorer's own speed that is left.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parsePipeline } from '../../../dist/pipeline/settings.js';
import { scoreCorpus } from '../../../dist/score/score-run.js';
import { localStorage } from '../../../dist/storage/local.js';
import { makeBatch, modes, openModels, prepare, rowsOf, timeCalls } from '../ours.mjs';

export async function pipeline(job, { watch, emit, checkpoints, corpus, timeLeft }) {
  const folders = await checkpoints(job.size);
  const { shards, tokenizer, kind } = await corpus();
  const length = job.lengths[Math.floor(job.lengths.length / 2)];
  const rows = rowsOf(job.batchTokens, length);
  const { device, precision, cache } = job;
  const settings = { device, precision, rows, length, cache };
  const models = [await prepare(folders.reference, settings), await prepare(folders.current, settings)];
  const opened = await openModels(models, job.device, job.precision);
  const batch = makeBatch(rows, length, models[0].info.vocabularySize);
  const alone = await timeCalls(() => modes.pair(opened.sessions, batch), job.seconds, watch);
  await opened.close();
  const scorer = (alone.calls * rows * length) / alone.seconds;

  // Enough copies of the shards for the time that is wanted; names differ, so every copy is another shard.
  const wanted = scorer * Math.min(job.pipelineSeconds, Math.max(1, timeLeft() / 3));
  const input = join(job.work, `shards-${job.size}`);
  mkdirSync(input, { recursive: true });
  for (let copy = 0; copy < 400; copy++) {
    for (const shard of shards)
      copyFileSync(shard, join(input, `${String(copy).padStart(3, '0')}-${basename(shard)}`));
  }
  const stop = new AbortController();
  let first = null;
  let last = null;
  let tokens = 0;
  const sink = (event) => {
    if (event.event !== 'progress' || event.tokens === 0) return;
    const now = performance.now();
    // Loading, compilation and the first batches are not the pipeline's steady speed.
    if (first === null)
      first = { at: now, cpu: process.cpuUsage(), loop: performance.eventLoopUtilization() };
    else tokens += event.tokens;
    last = now;
    if (tokens >= wanted) stop.abort();
  };
  const run = parsePipeline(
    {
      shards: [input],
      reference: folders.reference,
      current: folders.current,
      out: join(job.work, `scored-${job.size}`),
      tokenizer: { path: tokenizer },
      corpus: { part_bytes: job.partBytes },
      sequence: { length },
      score: {
        device: job.device,
        batch_tokens: rows * length,
        ...(job.device === 'cuda' && { precision: job.precision }),
      },
      run: { cache: job.cache },
    },
    'bench/gpu',
  );
  try {
    await scoreCorpus(run, { storage: localStorage(), sink, signal: stop.signal, replace: true });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  if (first === null || tokens === 0) throw new Error('the pipeline was too short to be measured');
  const seconds = (last - first.at) / 1000;
  const { user, system } = process.cpuUsage(first.cpu);
  emit({
    ...{
      length,
      rows,
      corpus: kind,
      tokens,
      seconds,
      tokens_per_s: tokens / seconds,
      scorer_tokens_per_s: scorer,
    },
    share_of_scorer: tokens / seconds / scorer,
    host_cores: (user + system) / 1e6 / seconds,
    main_thread_busy: performance.eventLoopUtilization(first.loop).utilization,
    gpu: watch.window(first.at, last),
  });
}
