import { fatalError, usageError } from '../errors.js';
import type { ExportFormat } from './format.js';
import { bytesOf, idBytes, shardName, sidecarBytes, sidecarOf, sidecarReason, tokenBytes } from './ids.js';
import { tokenStreams } from './rows.js';
import type { ExportSettings } from './settings.js';

/**
 * Flat ids as nanoGPT reads them (`np.memmap('train.bin', dtype=np.uint16)`), and a sidecar of as many entries:
 * entry i belongs to token i as a target. Files of several shards may be joined by `cat`, where there is no header; the
 * sidecar never has one.
 */
export const nanogpt: ExportFormat = {
  name: 'nanogpt',
  summary: 'flat ids (train.bin), with a header on demand (--header), and a sidecar of weights',
  semantics: 1,
  settings: ['token_type', 'sidecar'],
  later: { header: 'none' },
  cut: 'rows',
  bitsOnly: sidecarReason,
  // The sidecar is a file of its own, so the larger of the two is the shard's size.
  bytesPerToken: (settings) => Math.max(tokenBytes(settings), sidecarBytes(settings)),
  async open({ settings, index, shards, create, countIds }) {
    const ids = await create(shardName('train', index, shards, '.bin'));
    const sidecar = await create(shardName('train', index, shards, `.${settings.sidecar}.bin`));
    const streamOf = tokenStreams();
    const narrow = idBytes(settings);
    const counted = settings.header === 'none' ? null : await countIds();
    if (counted !== null) await ids.write(headerOf(settings, counted));
    let written = 0;
    return {
      async write(rows) {
        const stream = streamOf(rows);
        written += stream.ids.length;
        await ids.write(narrow(stream.ids, rows.place));
        await sidecar.write(bytesOf(sidecarOf(settings, stream.ids, stream.weights)));
      },
      async finish() {
        if (counted !== null && counted !== written) {
          throw fatalError(
            'part-changed',
            `${shardName('train', index, shards, '.bin')}: ${counted} ids were counted and ${written} written: the run changed on the way; export it again`,
          );
        }
      },
    };
  },
  describe: () => ({}),
};

/** Numbers of a header, in int32. */
const HEADER_NUMBERS = 256;

/**
 * 1,024 bytes: magic number, version, ids that follow, and for NeMo the bytes of an id.
 * @throws TokensieveError (usage) `shard-too-large`
 */
export function headerOf(settings: Pick<ExportSettings, 'header' | 'token_type'>, count: number): Uint8Array {
  if (count > 2 ** 31 - 1) {
    throw usageError(
      'shard-too-large',
      `a shard of ${count} ids: a header has room for ${2 ** 31 - 1}; export with a smaller --shard-bytes`,
    );
  }
  const header = new Int32Array(HEADER_NUMBERS);
  const wide = settings.token_type === 'uint32';
  // llm.c knows its formats by their magic numbers: ids of GPT-2 are uint16, those of Llama 3 uint32.
  header.set(
    settings.header === 'nemo'
      ? [278895051, 1, count, tokenBytes(settings)]
      : [wide ? 20240801 : 20240520, wide ? 7 : 1, count],
  );
  return bytesOf(header);
}
