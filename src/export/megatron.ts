import { writeSums } from './datatrove.js';
import { documentLengths } from './document-lengths.js';
import type { ExportFormat, OutputFile } from './format.js';
import { bytesOf, idBytes, shardName, sidecarBytes, sidecarOf, sidecarReason, tokenBytes } from './ids.js';
import { tokenStreams } from './rows.js';
import type { ExportSettings } from './settings.js';

/**
 * Megatron's indexed data set: `.bin` with the ids and `.idx` with where each document's are, and a second one with
 * the same documents that holds what `--sidecar` says: weights, a mask, or gpt-neox's labels (−100 where the weight
 * is 0, not shifted). The same index of document and offset finds a token in both.
 */
export const megatron: ExportFormat = {
  name: 'megatron',
  summary: 'Megatron and gpt-neox: indexed data sets (.bin, .idx) of ids and of weights, a mask or labels',
  semantics: 1,
  settings: ['token_type', 'sidecar'],
  cut: 'parts',
  bitsOnly: sidecarReason,
  bytesPerToken: (settings) => Math.max(tokenBytes(settings), sidecarBytes(settings)),
  async open({ settings, index, shards, create }) {
    const stem = (what: string): string => shardName('data/tokens', index, shards, `_${what}`);
    const documents = await create(`${stem('document')}.bin`);
    const documentsIndex = await create(`${stem('document')}.idx`);
    const sidecar = await create(`${stem(settings.sidecar)}.bin`);
    const sidecarIndex = await create(`${stem(settings.sidecar)}.idx`);
    const lengths = documentLengths();
    const streamOf = tokenStreams();
    const narrow = idBytes(settings);
    return {
      async write(rows) {
        const stream = streamOf(rows);
        lengths.add(rows.place, stream);
        await documents.write(narrow(stream.ids, rows.place));
        await sidecar.write(bytesOf(sidecarOf(settings, stream.ids, stream.weights)));
      },
      async finish() {
        const found = lengths.finish();
        await writeIndex(documentsIndex, found, settings.token_type === 'uint16' ? 'uint16' : 'int32');
        await writeIndex(sidecarIndex, found, SIDECAR_TYPES[settings.sidecar]);
      },
    };
  },
  describe: () => ({}),
};

/** Codes of Megatron's `DType`, and bytes. */
const TYPES = { uint8: [1, 1], int32: [4, 4], float32: [7, 4], uint16: [8, 2] } as const;
const SIDECAR_TYPES = { weights: 'float32', mask: 'uint8', labels: 'int32' } as const satisfies Record<
  ExportSettings['sidecar'],
  keyof typeof TYPES
>;

/**
 * Header `MMIDIDX\0\0`, version 1 (uint64), type (uint8), sequences and document marks (uint64); then lengths (int32),
 * byte offsets (int64) of the sequences, and the sequence at which each document begins, with the end (int64). Here a
 * sequence is a document.
 */
async function writeIndex(file: OutputFile, lengths: Int32Array, type: keyof typeof TYPES): Promise<void> {
  const [code, bytes] = TYPES[type];
  const head = Buffer.alloc(34);
  head.write('MMIDIDX\0\0', 0, 'latin1');
  head.writeBigUInt64LE(1n, 9);
  head.writeUInt8(code, 17);
  head.writeBigUInt64LE(BigInt(lengths.length), 18);
  head.writeBigUInt64LE(BigInt(lengths.length + 1), 26);
  await file.write(head);
  await file.write(bytesOf(lengths));
  await writeSums(file, lengths, bytes, 'starts');
  await writeSums(file, new Int32Array(lengths.length + 1).fill(1), 1, 'starts');
}
