import { checkPartFile } from '../../dataset/finished-parts.js';
import { openSource, type Source } from '../../dataset/source.js';
import { usageError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import type { DataDescription, StepBatch } from '../batch.js';
import { assembleBatch, type Row } from './assemble.js';
import { chunksOf } from './chunk.js';
import { describeData } from './describe.js';

/**
 * A folder's first rows in file order, as many as have at most `tokens` ids together but one at least, in batches of
 * `rows` rows; the last is filled with rows without a target. Shaped like the training data, whose rows must mean
 * the same.
 * @throws TokensieveError (usage) as `openSource` throws; `tokenizers-differ`, `sources-differ`, `sequence-too-long`;
 *   (input) whatever is wrong with a file that is read
 */
export async function heldOutBatches(
  storage: Storage,
  folder: string,
  tokens: number,
  rows: number,
  training: Pick<DataDescription, 'length' | 'attention' | 'tokenizerHash' | 'sources'>,
): Promise<readonly StepBatch[]> {
  const source = await openSource(storage, folder);
  const own = describeData([source], [1]);
  checkAgainst(training, own);
  const wanted = { ...own, length: training.length };
  const batches: StepBatch[] = [];
  let open: Row[] = [];
  for await (const row of firstRows(storage, source, tokens, wanted)) {
    open.push(row);
    if (open.length < rows) continue;
    batches.push(assembleBatch(open, rows, wanted));
    open = [];
  }
  if (open.length > 0) batches.push(assembleBatch(open, rows, wanted));
  return batches;
}

async function* firstRows(
  storage: Storage,
  source: Source,
  tokens: number,
  wanted: DataDescription,
): AsyncGenerator<Row> {
  let left = tokens;
  let any = false;
  for (const part of source.parts) {
    for await (const chunk of chunksOf(storage, source, part, wanted)) {
      for (let index = 0; index < chunk.sequenceIds.length; index++) {
        left -= (chunk.offsets[index + 1] ?? 0) - (chunk.offsets[index] ?? 0);
        if (left < 0 && any) {
          // Its end was not read, and with it not the digest of what was.
          await checkPartFile(storage, part, 'sequences');
          return;
        }
        yield { chunk, index };
        any = true;
      }
    }
  }
}

function checkAgainst(
  training: Parameters<typeof heldOutBatches>[4],
  { length, attention, tokenizerHash, sources }: DataDescription,
): void {
  const [held, trained] = [sources[0]?.path, training.sources[0]?.path];
  if (tokenizerHash !== training.tokenizerHash) {
    throw usageError(
      'tokenizers-differ',
      `${held}: was tokenized with another tokenizer (${tokenizerHash.slice(0, 12)}…) than ${trained} (${training.tokenizerHash.slice(0, 12)}…); losses of the two cannot be compared: score or pack it with that one`,
    );
  }
  if (attention !== training.attention) {
    throw usageError(
      'sources-differ',
      `${held}: has rows of attention ${attention}, ${trained} of ${training.attention}; make it again with --attention ${training.attention}`,
    );
  }
  if (length > training.length) {
    throw usageError(
      'sequence-too-long',
      `${held}: has rows of up to ${length} ids, ${trained} of ${training.length}; make it again with --sequence-length ${training.length}`,
    );
  }
}
