import type { PartReading } from '../corpus/shard.js';
import type { Compression } from '../dataset/codecs.js';
import { createDocumentWriter, type DocumentWriter, textDigest } from '../dataset/documents.js';
import type { PartInput } from '../dataset/finished-parts.js';
import { MANIFEST_VERSION, type Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import type { LossPrecision } from '../dataset/schema.js';
import type { SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import { createSequenceWriter } from '../dataset/writer.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { StagedPart } from '../parts/commit-part.js';
import type { ExpectedPart } from '../parts/manifests.js';
import { outputOf } from '../parts/output-of.js';
import type { Lane, MakingContext, Staging } from '../parts/parts-job.js';
import { openReport } from '../parts/report-file.js';
import type { PackingRules } from '../sequence/packing.js';
import type { Sequence } from '../sequence/sequence.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { createTextLedger, type Digests } from './part-text.js';
import { type RowsOfDocument, textRows } from './text-rows.js';

/** What rows of the model become: the one step in which scoring and packing differ. Each lane has its own. */
export interface RowStage extends Lane {
  /** Batches of the data file, in the order of the rows. `place` names the part in errors. */
  batches(sequences: AsyncIterable<readonly Sequence[]>, place: string): AsyncIterable<SequenceBatch>;
  /** Throws where what it computes with has changed since it was opened; asked before a part is committed. */
  look?(): Promise<void>;
}

/** What the parts of a run share. */
export interface PartRules {
  readonly kind: 'scored' | 'packed';
  /** Folder of the parts. */
  readonly folder: string;
  readonly tokenizer: Tokenizer;
  readonly packing: PackingRules;
  /** Token columns that the stage gives. */
  readonly columns: readonly TokenColumn[];
  readonly lossPrecision: LossPrecision;
  readonly compression: Compression;
  readonly keepColumns: readonly string[];
  /** Goes into the schema metadata of every file, beside fingerprint and recipe. */
  readonly conventions: JsonObject;
}

/** What identifies a part before it is read. */
export interface PartTask extends ExpectedPart {
  readonly shard: string;
  readonly part: number;
  /** First row of the part where the plan tells it; null for a stream. */
  readonly rowStart: number | null;
  readonly input: PartInput;
}

/** Makes one part of a shard's text, up to its commit. */
export async function makePart(
  rules: PartRules,
  task: PartTask,
  { rows }: PartReading,
  stage: RowStage,
  {
    storage,
    sink,
    signal,
    staging,
    look,
  }: MakingContext & {
    readonly staging: Staging;
    /** Asks whether the shard is still the one that was read. */
    readonly look: (read: Digests) => Promise<void>;
  },
): Promise<StagedPart<Manifest>> {
  const { shard, part, fingerprint, recipe } = task;
  const { kind, tokenizer, packing, columns, lossPrecision, compression, conventions } = rules;
  const files = partFiles(rules.folder, shard, part);
  const metadata = { fingerprint, recipe, conventions };
  const writing = { columns, lossPrecision, compression, metadata };
  const sequences = staging(await createSequenceWriter(storage, files.sequences, writing));
  const keep = { keep: rules.keepColumns, compression, metadata };
  const documents = staging(await createDocumentWriter(storage, files.documents, keep));
  const report = staging(await openReport(storage, files.quarantine));
  const ledger = createTextLedger(
    task.rowStart,
    rules.keepColumns,
    kind,
    report,
    ({ kind: _, ...quarantined }) => {
      sink({ event: 'quarantined', shard, ...quarantined });
    },
  );
  // Text is read well ahead of the stage: progress counts what the finished tokens stand for.
  let packedTokens = 0;
  let doneTokens = 0;
  let told = 0;
  const tell = (tokens: number, textBytes: number): void => {
    sink({ event: 'progress', tokens, text_bytes: textBytes - told });
    told = textBytes;
  };
  const packed = textRows(rows, {
    tokenizer,
    packing,
    ledger,
    place: task,
    async tell(group) {
      await writeDocuments(documents, group);
      packedTokens += group.reduce((sum, { tokens }) => sum + tokens, 0);
    },
  });
  for await (const batch of stage.batches(packed, `${shard} part ${part}`)) {
    signal.throwIfAborted();
    await sequences.write(batch);
    const tokens = batch.inputIds.length;
    doneTokens += tokens;
    tell(tokens, Math.floor(ledger.textBytes() * Math.min(1, doneTokens / Math.max(1, packedTokens))));
  }
  await ledger.finish();
  tell(0, ledger.textBytes());
  const written = await sequences.finish();
  const noted = await documents.finish();
  const reported = await report.finish();
  const text = ledger.counts();
  const { histograms, ...counted } = written.statistics;
  const manifest: Manifest = {
    version: MANIFEST_VERSION,
    kind,
    shard,
    part,
    input: {
      ...task.input,
      row_start: text.rowStart,
      row_end: text.rowEnd,
      text_sha256: text.textSha256,
      ...(text.columnsSha256 !== null && { columns_sha256: text.columnsSha256 }),
    },
    fingerprint,
    recipe,
    marks: marksOf(tokenizer),
    counts: {
      documents: text.documents,
      text_bytes: text.textBytes,
      quarantined_rows: text.quarantinedRows,
      quarantined: text.quarantined,
      ...counted,
    },
    histograms,
    outputs: [
      outputOf('sequences', files.sequences, written),
      outputOf('documents', files.documents, noted),
      ...(reported === null ? [] : [outputOf('quarantine', files.quarantine, reported)]),
    ],
  };
  return {
    manifest,
    files: [documents, report, sequences],
    async look() {
      await stage.look?.();
      await look(manifest.input);
    },
  };
}

const writeDocuments = (documents: DocumentWriter, group: readonly RowsOfDocument[]): Promise<void> =>
  documents.write(
    group.map(({ document: { row, columns, text, textBytes }, tokens }) => ({
      row,
      columns,
      textDigest: textDigest(text),
      textBytes,
      tokens,
    })),
  );

const marksOf = ({ bosId, eosId, bosSource, eosSource }: Tokenizer): NonNullable<Manifest['marks']> => ({
  bos: { id: bosId, source: bosSource },
  eos: { id: eosId, source: eosSource },
});
