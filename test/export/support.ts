import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fingerprintOf, stageManifest } from '#tokensieve/dataset/manifest.js';
import { partFiles } from '#tokensieve/dataset/part-files.js';
import type { TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import { createSequenceWriter } from '#tokensieve/dataset/writer.js';
import { type ExportReport, exportRun } from '#tokensieve/export/export-run.js';
import { type ExportInput, parseExport } from '#tokensieve/export/settings.js';
import { createPacker, type PackingRules } from '#tokensieve/sequence/packing.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { partManifest } from '../../fixtures/part-manifest.mjs';
import { type Row, toBatch } from '../dataset/batches.js';

export const storage = localStorage();
export const BOS = 1;
export const EOS = 2;

/** A token of the corpus as tests know it, before any packing. */
export interface Token {
  readonly id: number;
  readonly weight: number;
  readonly document: number;
}

export interface CorpusSpec {
  /** Tokens of each document, without BOS and EOS; a list a part. */
  readonly parts: readonly (readonly number[])[];
  readonly rules: Omit<PackingRules, 'eosEligible'>;
  /** Weight of a target, by where it is. */
  readonly weight: (document: number, position: number) => number;
  readonly kind?: 'weighted' | 'scored' | 'packed';
  /** Highest id plus one. */
  readonly vocabulary?: number;
}

/** The id of a document's token, never BOS or EOS. */
export const idOf = (document: number, position: number, vocabulary = 500): number =>
  3 + ((document * 131 + position * 7) % (vocabulary - 3));

/** Reference loss of the token at a place; exact in fp32. */
export const lossOf = (document: number, position: number): number => ((document * 13 + position) % 64) / 8;

/**
 * Writes a run as the pipeline would (its own packer and writers), and gives back every token of every part, told by
 * a view that knows nothing of rows: what a stream of each token once must hold.
 */
export async function writeCorpus(folder: string, spec: CorpusSpec): Promise<readonly (readonly Token[])[]> {
  const { rules, kind = 'weighted' } = spec;
  const tokens: Token[][] = [];
  let row = 0;
  for (const [part, lengths] of spec.parts.entries()) {
    const documents = lengths.map((length) => ({ row: row++, length }));
    await writePart(join(folder, kind), part, documents, spec);
    let seen = 0;
    tokens.push(
      documents.flatMap(({ row: document, length }) => {
        const ids = [
          ...(rules.bosId === null ? [] : [rules.bosId]),
          ...Array.from({ length }, (_, i) => idOf(document, i, spec.vocabulary)),
          ...(rules.eosId === null ? [] : [rules.eosId]),
        ];
        return ids.map((id, position) => {
          const isFirst =
            rules.packing === 'document' || rules.attention === 'within' ? position === 0 : seen === 0;
          seen++;
          const isTarget = !isFirst && !(position === 0 && id === rules.bosId);
          return {
            id,
            document,
            weight: isTarget ? (kind === 'weighted' ? spec.weight(document, position) : 1) : 0,
          };
        });
      }),
    );
  }
  return tokens;
}

async function writePart(
  folder: string,
  part: number,
  documents: readonly { readonly row: number; readonly length: number }[],
  { rules, weight, kind = 'weighted', vocabulary }: CorpusSpec,
): Promise<void> {
  const packer = createPacker({ ...rules, eosEligible: true });
  const rows = [
    ...documents.flatMap(({ row, length }) =>
      packer.push({
        row,
        ids: Int32Array.from({ length }, (_, i) => idOf(row, i, vocabulary)),
        textBytes: length,
        offsets: () => ({
          byteStart: Int32Array.from({ length }, (_, i) => i),
          byteEnd: Int32Array.from({ length }, (_, i) => i + 1),
        }),
      }),
    ),
    ...packer.finish(),
  ];
  const columns: TokenColumn[] =
    kind === 'packed' ? ['weight'] : kind === 'scored' ? ['reference_loss'] : ['reference_loss', 'weight'];
  // Where in its document each token of a row is: told by its place in the document's tokens so far.
  const counted = new Map<number, number>();
  const plain = rows.map((sequence): Row => {
    const places = sequence.segments.flatMap((segment, s) => {
      const before = counted.get(segment.document) ?? 0;
      const repeats = s === 0 && before > 0 ? (rules.packing === 'packed' ? 1 : rules.overlap) : 0;
      const start = before - repeats;
      counted.set(segment.document, start + segment.tokenCount);
      return Array.from({ length: segment.tokenCount }, (_, i) => [segment.document, start + i] as const);
    });
    const values = (of: (document: number, position: number) => number, none: number) =>
      places.map(([document, position], i) => (sequence.eligible[i] === 1 ? of(document, position) : none));
    return {
      id: BigInt(sequence.id),
      ids: [...sequence.ids],
      columns: {
        weight: values(kind === 'packed' ? () => 1 : weight, 0),
        reference_loss: values(lossOf, Number.NaN),
      },
      segments: sequence.segments.map((segment) => [
        BigInt(segment.document),
        segment.tokenStart,
        segment.tokenCount,
        BigInt(segment.byteStart),
        BigInt(segment.byteEnd),
      ]),
    };
  });
  const shard = 'a/web.parquet';
  const files = partFiles(folder, shard, part);
  const rowsRecipe = {
    tokenizer: { hash: 'c'.repeat(64), bos_id: rules.bosId, eos_id: rules.eosId },
    sequence: {
      length: rules.length,
      packing: rules.packing,
      attention: rules.attention,
      overlap: rules.overlap,
      bos: rules.bosId !== null,
      eos: rules.eosId !== null,
    },
    models: { reference: 'a'.repeat(64), current: 'b'.repeat(64) },
  };
  const recipe = kind === 'weighted' ? { scored: rowsRecipe, conventions: { method: 'slm' } } : rowsRecipe;
  const input = { name: shard, size: 1000 };
  const fingerprint = fingerprintOf(recipe, { ...input, part });
  const writer = await createSequenceWriter(storage, files.sequences, {
    columns,
    lossPrecision: 'fp32',
    compression: 'none',
    metadata: { fingerprint, conventions: { method: 'slm', normaliser: 'sum-of-weights' } },
  });
  // Few rows a batch, so that a part has several record batches only where it is long; the writer decides.
  for (const row of plain) await writer.write(toBatch([row], columns));
  const written = await writer.finish();
  await writer.commit();
  const manifest = partManifest(
    {
      ...{ kind, shard, part, fingerprint, recipe, input },
      rows: documents.length,
      counts: { text_bytes: 100, ...(kind === 'packed' && { eligible: written.statistics.kept }) },
    },
    files.sequences,
    written,
  );
  await (await stageManifest(storage, files.manifest, manifest)).commit();
}

export const exportTo = (settings: ExportInput, replace = false): Promise<ExportReport> =>
  exportRun(parseExport(settings, 'test'), {
    storage,
    sink: () => undefined,
    signal: new AbortController().signal,
    replace,
  });

/** The files of one kind in order, joined. */
export function joined(paths: readonly string[]): Buffer {
  return Buffer.concat(paths.map((path) => readFileSync(path)));
}

export const uint16s = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16LE(2 * i));
export const uint32s = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readUInt32LE(4 * i));
export const int32s = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(4 * i));
export const float32s = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
export const int64s = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 8 }, (_, i) => Number(bytes.readBigInt64LE(8 * i)));
