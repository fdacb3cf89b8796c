/** The offline scorer over the same texts, in a process of its own: the yardstick of speed and of losses. */
import { fork } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSequences } from '../../dist/dataset/reader.js';
import { parsePipeline } from '../../dist/pipeline/settings.js';
import { scoreCorpus } from '../../dist/score/score-run.js';
import { localStorage } from '../../dist/storage/local.js';

/**
 * Scores the texts, a document each.
 * @returns {Promise<{ seconds: number, cpuSeconds: number, out: string }>} from the first part's start to the last
 *   one's end: the models are loaded, text is read, tokenized and packed within
 */
export function scoreOffline(texts, models, folder, name) {
  const shard = join(folder, 'texts.jsonl');
  writeFileSync(shard, texts.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  const pipeline = {
    shards: [shard],
    reference: models.reference,
    current: models.current,
    out: join(folder, name),
    sequence: { length: models.maxTokens, packing: 'document' },
    score: { device: 'cpu' },
    run: { cache: join(folder, 'cache'), threads: models.threads },
  };
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), ['--job'], { stdio: ['ignore', 2, 2, 'ipc'] });
    child.once('message', resolve);
    child.once('exit', (code) => code !== 0 && reject(new Error(`the offline scorer ended with ${code}`)));
    child.send(pipeline);
  });
}

/**
 * What is stored of every document: ids, losses by token with NaN where there is none, and the tokens of its rows,
 * repeated context included.
 */
export async function readOffline(out, count, maxTokens) {
  const documents = Array.from({ length: count }, () => ({
    ids: [],
    reference: [],
    current: [],
    rows: 0,
    rowTokens: 0,
  }));
  const overlap = Math.max(1, maxTokens >> 2);
  const files = readdirSync(out, { recursive: true }).filter((name) => /(^|\/)\d{5}\.arrow$/.test(name));
  for (const name of files) {
    for await (const batch of (await readSequences(localStorage(), join(out, name))).batches()) {
      const { offsets, inputIds, columns, segments } = batch;
      for (let row = 0; row + 1 < offsets.length; row++) {
        const document = documents[Number(segments.document[segments.offsets[row]])];
        const first = document.rows++ === 0 ? 0 : document.ids.length - overlap;
        document.rowTokens += offsets[row + 1] - offsets[row];
        for (let i = offsets[row]; i < offsets[row + 1]; i++) {
          const at = first + i - offsets[row];
          const fresh = document.ids[at] === undefined;
          document.ids[at] = inputIds[i];
          if (!fresh && Number.isNaN(columns.reference_loss[i])) continue;
          document.reference[at] = columns.reference_loss[i];
          document.current[at] = columns.current_loss[i];
        }
      }
    }
  }
  return documents;
}

if (process.argv[2] === '--job') {
  process.once('message', async (pipeline) => {
    let first;
    let last;
    let cpu;
    const sink = ({ event }) => {
      if (event === 'part-started' && first === undefined) {
        first = performance.now();
        cpu = process.cpuUsage();
      }
      if (event === 'part-done') {
        last = performance.now();
        cpu = { ...cpu, used: process.cpuUsage(cpu) };
      }
    };
    const signal = new AbortController().signal;
    await scoreCorpus(parsePipeline(pipeline, 'bench'), {
      storage: localStorage(),
      sink,
      signal,
      replace: true,
    });
    const { user, system } = cpu.used;
    const result = { seconds: (last - first) / 1000, cpuSeconds: (user + system) / 1e6, out: pipeline.out };
    process.send(result, () => process.exit(0));
  });
}
