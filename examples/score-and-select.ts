/**
 * Scores a corpus with a reference and a current model, keeps 60% of the tokens by excess loss, and shows what was kept:
 *
 *   node examples/build/score-and-select.js 'shards/*.parquet' REFERENCE CURRENT OUT
 *
 * Ctrl-C stops it where it can go on: the same command finishes the rest, and the files are the same bytes.
 */
import {
  localStorage,
  parsePipeline,
  type RunEvent,
  readSequences,
  scoreCorpus,
  selectionSettings,
  selectRun,
  TokensieveError,
  weightedFolder,
} from 'tokensieve';

const [shards, reference, current, out] = process.argv.slice(2);
if (shards === undefined || reference === undefined || current === undefined || out === undefined) {
  console.error('score-and-select SHARDS REFERENCE CURRENT OUT');
  process.exit(2);
}

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
const storage = localStorage();
const options = { storage, sink: tell, signal: stop.signal, replace: false };

function tell(event: RunEvent): void {
  if (event.event === 'part-done') console.log(`${event.shard} part ${event.part}: ${event.tokens} tokens`);
  if (event.event === 'quarantined') console.log(`${event.shard} row ${event.row}: ${event.reason}`);
}

/** Of each file of weights: eligible tokens, and those that have a weight. */
async function* keptByFile(
  folder: string,
): AsyncGenerator<readonly [path: string, eligible: number, kept: number]> {
  for (const path of await storage.list(folder)) {
    if (!path.endsWith('.arrow') || path.endsWith('.documents.arrow')) continue;
    let eligible = 0;
    let kept = 0;
    for await (const { columns } of (await readSequences(storage, path)).batches()) {
      for (const loss of columns.reference_loss ?? []) if (!Number.isNaN(loss)) eligible++;
      for (const weight of columns.weight ?? []) if (weight > 0) kept++;
    }
    yield [path, eligible, kept];
  }
}

try {
  const pipeline = parsePipeline(
    { shards: [shards], reference, current, out, sequence: { length: 256 } },
    'score-and-select',
  );
  const scored = await scoreCorpus(pipeline, options);
  console.log(`scored ${scored.tokens} tokens of ${scored.documents} documents`);

  const settings = selectionSettings.parse({ method: 'slm', keep: 0.6, scope: 'dataset' });
  const selected = await selectRun(out, weightedFolder(out), settings, options);
  for (const { message } of selected.findings) console.log(`doubtful: ${message}`);

  for await (const [path, eligible, kept] of keptByFile(selected.folder)) {
    console.log(`${path}: ${((100 * kept) / eligible).toFixed(1)}% kept`);
  }
  console.log(`kept ${selected.kept} of ${selected.eligible} tokens`);
} catch (error) {
  if (!(error instanceof TokensieveError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
