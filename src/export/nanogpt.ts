import type { ExportFormat } from './format.js';
import { bytesOf, idBytes, shardName, sidecarBytes, sidecarOf, sidecarReason, tokenBytes } from './ids.js';
import { tokenStreams } from './rows.js';

/**
 * Flat ids as nanoGPT reads them (`np.memmap('train.bin', dtype=np.uint16)`), and a sidecar of as many entries:
 * entry i belongs to token i as a target. Files of several shards may be joined by `cat`: there is no header.
 */
export const nanogpt: ExportFormat = {
  name: 'nanogpt',
  summary: 'flat ids (train.bin) and a sidecar of weights',
  semantics: 1,
  settings: ['token_type', 'sidecar'],
  cut: 'rows',
  bitsOnly: sidecarReason,
  // The sidecar is a file of its own, so the larger of the two is the shard's size.
  bytesPerToken: (settings) => Math.max(tokenBytes(settings), sidecarBytes(settings)),
  async open({ settings, index, shards, create }) {
    const ids = await create(shardName('train', index, shards, '.bin'));
    const sidecar = await create(shardName('train', index, shards, `.${settings.sidecar}.bin`));
    const streamOf = tokenStreams();
    const narrow = idBytes(settings);
    return {
      async write(rows) {
        const stream = streamOf(rows);
        await ids.write(narrow(stream.ids, rows.place));
        await sidecar.write(bytesOf(sidecarOf(settings, stream.ids, stream.weights)));
      },
      finish: async () => undefined,
    };
  },
  describe: () => ({}),
};
