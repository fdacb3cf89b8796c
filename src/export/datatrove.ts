import { documentLengths } from './document-lengths.js';
import type { ExportFormat, OutputFile } from './format.js';
import { bytesOf, idBytes, maskOf, shardName, tokenBytes } from './ids.js';
import { tokenStreams } from './rows.js';

/**
 * datatrove's tokenized files: `.ds` ids, `.ds.index` the ends of documents (uint64, in tokens), `.ds.loss` a byte a
 * token, 1 where it counts as a target.
 */
export const datatrove: ExportFormat = {
  name: 'datatrove',
  summary: 'datatrove: .ds, .ds.index and .ds.loss',
  semantics: 1,
  settings: ['token_type'],
  cut: 'parts',
  bitsOnly: () => "datatrove's .loss files hold a boolean a token",
  bytesPerToken: tokenBytes,
  async open({ settings, index, shards, create }) {
    const name = shardName('data/tokens', index, shards, '.ds');
    const tokens = await create(name);
    const loss = await create(`${name}.loss`);
    const ends = await create(`${name}.index`);
    const lengths = documentLengths();
    const streamOf = tokenStreams();
    const narrow = idBytes(settings);
    return {
      async write(rows) {
        const stream = streamOf(rows);
        lengths.add(rows.place, stream);
        await tokens.write(narrow(stream.ids, rows.place));
        await loss.write(maskOf(stream.weights));
      },
      finish: () => writeSums(ends, lengths.finish(), 1, 'ends'),
    };
  },
  describe: () => ({}),
};

/** Entries encoded at a time. */
const CHUNK = 1 << 16;

/** Running sums of lengths times `unit`, as 64-bit integers: where each item ends, or where it starts. */
export async function writeSums(
  file: OutputFile,
  lengths: Int32Array,
  unit: number,
  what: 'starts' | 'ends',
): Promise<void> {
  let sum = 0n;
  for (let from = 0; from < lengths.length; from += CHUNK) {
    const sums = new BigInt64Array(Math.min(CHUNK, lengths.length - from));
    for (let i = 0; i < sums.length; i++) {
      const length = BigInt((lengths[from + i] ?? 0) * unit);
      sums[i] = what === 'starts' ? sum : sum + length;
      sum += length;
    }
    await file.write(bytesOf(sums));
  }
}
