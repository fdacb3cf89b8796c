import type { ExportFormat } from './format.js';
import { idBytes, maskOf, tokenBytes } from './ids.js';
import { tokenStreams } from './rows.js';

/**
 * Token arrays and label masks for OLMo-core's numpy datasets. They are named `.npy` there but hold raw values
 * without NumPy's header. `label_mask[i]` says whether token i counts as a target; OLMo-core shifts labels itself.
 * Documents are told by EOS. One file each a shard, in two folders, so that a glob names one kind.
 */
export const olmo: ExportFormat = {
  name: 'olmo',
  summary: 'OLMo-core: tokens/*.npy and label_mask/*.npy',
  semantics: 1,
  settings: ['token_type'],
  cut: 'parts',
  bitsOnly: () => "OLMo-core's label_mask is of booleans",
  bytesPerToken: tokenBytes,
  async open({ settings, index, create }) {
    const name = `${String(index).padStart(5, '0')}.npy`;
    const tokens = await create(`tokens/${name}`);
    const mask = await create(`label_mask/${name}`);
    const streamOf = tokenStreams();
    const narrow = idBytes(settings);
    return {
      async write(rows) {
        const { ids, weights } = streamOf(rows);
        await tokens.write(narrow(ids, rows.place));
        await mask.write(maskOf(weights));
      },
      finish: async () => undefined,
    };
  },
  describe: () => ({}),
};
