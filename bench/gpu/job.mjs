/** One phase in a process of its own: the card's memory is free when it ends, and a crash is one entry of the results. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFaulty, writePair } from './pair.mjs';
import { head } from './phases/head.mjs';
import { parity } from './phases/parity.mjs';
import { pipeline } from './phases/pipeline.mjs';
import { score } from './phases/score.mjs';
import { torchScore } from './phases/torch-score.mjs';
import { torchTrain } from './phases/torch-train.mjs';
import { train } from './phases/train.mjs';
import { watchGpu } from './watch.mjs';

const phases = { parity, score, 'torch-score': torchScore, head, pipeline, train, 'torch-train': torchTrain };

function toolsFor(job, send) {
  const began = performance.now();
  return {
    watch: watchGpu(job.device === 'cuda'),
    emit: (record) => send({ record }),
    timeLeft: () => job.seconds_left - (performance.now() - began) / 1000,
    /** FLOP/s as shares of every ceiling, TFLOP/s. */
    shares: (flops) => ({
      tflops: flops / 1e12,
      mfu: Object.fromEntries(job.ceilings.map((ceiling) => [ceiling, flops / 1e12 / ceiling])),
    }),
    checkpoints: (size) => writePair(job.work, size, job.shape),
    faulty: (size) => writeFaulty(job.work, size, job.shape),
    corpus: () => corpusOf(job),
    tokenizer: async () => dirname((await corpusOf(job)).tokenizer),
  };
}

/** Shards and a tokenizer: those named, or those that the quickstart's generator makes. */
async function corpusOf({ shards, tokenizer, work, shape }) {
  if (shards.length > 0 && tokenizer !== undefined) return { shards, tokenizer, kind: 'given' };
  const folder = join(work, 'corpus');
  const { makeLoop, makeQuickstart, loopSettings, defaults } = await import(
    '../../fixtures/quickstart/make.mjs'
  );
  const small = shape.vocab_size < loopSettings.vocabulary;
  if (!existsSync(join(folder, 'inputs.json'))) {
    await (small ? makeQuickstart(folder, defaults) : makeLoop(folder, loopSettings));
  }
  return {
    shards: [0, 1, 2].map((i) => join(folder, `corpus/noisy/web-0000${i}-of-00003.parquet`)),
    tokenizer: join(folder, small ? 'models/reference' : 'tokenizer', 'tokenizer.json'),
    kind: 'generated',
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.once('message', async (job) => {
    const tools = toolsFor(job, (message) => process.send(message));
    try {
      await phases[job.phase](job, tools);
      process.send({ done: true }, () => process.exit(0));
    } catch (error) {
      process.send({ error: String(error?.message ?? error).split('\n')[0] }, () => process.exit(1));
    }
  });
}
