import type { PartReading } from '../corpus/shard.js';
import type { Compression } from '../dataset/codecs.js';
import {
  createDocumentWriter,
  type DocumentRecord,
  type DocumentWriter,
  textDigest,
} from '../dataset/documents.js';
import type { PartInput } from '../dataset/finished-parts.js';
import { MANIFEST_VERSION, type Manifest, type ManifestOutput, stageManifest } from '../dataset/manifest.js';
import { type PartFiles, partFiles } from '../dataset/part-files.js';
import type { LossPrecision } from '../dataset/schema.js';
import type { SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import { createSequenceWriter, type SequenceWriter } from '../dataset/writer.js';
import { mapAhead } from '../flow/map-ahead.js';
import type { JsonObject } from '../json/canonical-json.js';
import { removeStale } from '../parts/done-parts.js';
import type { EventSink } from '../parts/events.js';
import { openReport, type Report } from '../parts/report-file.js';
import { createPacker, type PackingRules, wrappedLength } from '../sequence/packing.js';
import type { Sequence } from '../sequence/sequence.js';
import { nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { encodeGroup, tokenizedDocument } from './encode-group.js';
import { createTextLedger, type TextLedger } from './part-text.js';

/** Groups of documents tokenized ahead of packing. */
const GROUPS_AHEAD = 4;

/** What rows of the model become: the one step in which scoring and packing differ. Each lane has its own. */
export interface RowStage {
  /** Batches of the data file, in the order of the rows. `place` names the part in errors. */
  batches(sequences: AsyncIterable<readonly Sequence[]>, place: string): AsyncIterable<SequenceBatch>;
  close(): Promise<void>;
}

/** What the parts of a run share. */
export interface PartContext {
  readonly storage: Storage;
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
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/** What identifies a part before it is read. */
export interface PartTask {
  readonly shard: string;
  readonly part: number;
  /** First row of the part where the plan tells it; null for a stream. */
  readonly rowStart: number | null;
  readonly input: PartInput;
  readonly fingerprint: string;
  readonly recipe: JsonObject;
}

/**
 * Makes one part and commits it: the data files under their final names first, then the manifest, which alone
 * says that the part is done. On any error, or when the run is stopped, nothing staged is left behind.
 */
export async function makePart(
  context: PartContext,
  task: PartTask,
  reading: PartReading,
  stage: RowStage,
): Promise<Manifest> {
  const files = partFiles(context.folder, task.shard, task.part);
  const outputs = await openOutputs(context, task, files);
  try {
    const ledger = createTextLedger(task.rowStart, context.kind, outputs.report, (entry) => {
      const { kind: _, ...quarantined } = entry;
      context.sink({ event: 'quarantined', shard: task.shard, ...quarantined });
    });
    const packed = { tokens: 0 };
    const sequences = packedSequences(context, task, ledger, outputs.documents, reading, packed);
    // Text is read well ahead of the stage: progress counts what the finished tokens stand for.
    let doneTokens = 0;
    let told = 0;
    const tell = (tokens: number, textBytes: number): void => {
      context.sink({ event: 'progress', tokens, text_bytes: textBytes - told });
      told = textBytes;
    };
    for await (const batch of stage.batches(sequences, `${task.shard} part ${task.part}`)) {
      context.signal.throwIfAborted();
      await outputs.sequences.write(batch);
      const tokens = batch.inputIds.length;
      doneTokens += tokens;
      tell(tokens, Math.floor(ledger.textBytes() * Math.min(1, doneTokens / Math.max(1, packed.tokens))));
    }
    await ledger.finish();
    tell(0, ledger.textBytes());
    return await commitPart(context, task, files, outputs, ledger);
  } catch (error) {
    await outputs.abort();
    throw error;
  }
}

interface Outputs {
  readonly sequences: SequenceWriter;
  readonly documents: DocumentWriter;
  readonly report: Report;
  abort(): Promise<void>;
}

async function openOutputs(context: PartContext, task: PartTask, files: PartFiles): Promise<Outputs> {
  const { storage, compression, conventions } = context;
  const metadata = { fingerprint: task.fingerprint, recipe: task.recipe, conventions };
  const opened: { abort(): Promise<void> }[] = [];
  const keep = <T extends { abort(): Promise<void> }>(output: T): T => {
    opened.push(output);
    return output;
  };
  const abort = async (): Promise<void> => {
    for (const output of opened) await output.abort();
  };
  try {
    const { columns, lossPrecision } = context;
    return {
      sequences: keep(
        await createSequenceWriter(storage, files.sequences, {
          columns,
          lossPrecision,
          compression,
          metadata,
        }),
      ),
      documents: keep(
        await createDocumentWriter(storage, files.documents, {
          keep: context.keepColumns,
          compression,
          metadata,
        }),
      ),
      report: keep(await openReport(storage, files.quarantine)),
      abort,
    };
  } catch (error) {
    await abort();
    throw error;
  }
}

/** Rows of the shard → documents → ids → rows of the model; each document is noted once it is tokenized. */
async function* packedSequences(
  context: PartContext,
  task: PartTask,
  ledger: TextLedger,
  documents: DocumentWriter,
  reading: PartReading,
  packed: { tokens: number },
): AsyncGenerator<readonly Sequence[]> {
  const packer = createPacker(context.packing);
  const tokenized = mapAhead(ledger.groups(reading.rows), GROUPS_AHEAD, async (group) => ({
    group,
    encodings: await encodeGroup(context.tokenizer, task, group),
  }));
  for await (const { group, encodings } of tokenized) {
    const done: Sequence[] = [];
    const records: DocumentRecord[] = [];
    for (const [index, document] of group.entries()) {
      const encoding = encodings[index];
      if (encoding === undefined) {
        throw new Error(`the tokenizer gave ${encodings.length} results for ${group.length} texts`);
      }
      if (encoding.unspellable !== undefined) {
        ledger.setAside(document, encoding.unspellable);
        continue;
      }
      const tokenized = tokenizedDocument(document, encoding);
      records.push({
        row: document.row,
        columns: document.columns,
        textDigest: textDigest(document.text),
        textBytes: document.textBytes,
        tokens: wrappedLength(tokenized, context.packing),
      });
      done.push(...packer.push(tokenized));
    }
    await documents.write(records);
    packed.tokens += records.reduce((sum, { tokens }) => sum + tokens, 0);
    yield done;
  }
  yield packer.finish();
}

const marksOf = ({ bosId, eosId, bosSource, eosSource }: Tokenizer): NonNullable<Manifest['marks']> => ({
  bos: { id: bosId, source: bosSource },
  eos: { id: eosId, source: eosSource },
});

async function commitPart(
  context: PartContext,
  task: PartTask,
  files: PartFiles,
  outputs: Outputs,
  ledger: TextLedger,
): Promise<Manifest> {
  const sequences = await outputs.sequences.finish();
  const documents = await outputs.documents.finish();
  const report = await outputs.report.finish();
  const text = ledger.counts();
  const { histograms, ...counted } = sequences.statistics;
  const manifest: Manifest = {
    version: MANIFEST_VERSION,
    kind: context.kind,
    shard: task.shard,
    part: task.part,
    input: {
      ...task.input,
      row_start: text.rowStart,
      row_end: text.rowEnd,
      text_sha256: text.textSha256,
    },
    fingerprint: task.fingerprint,
    recipe: task.recipe,
    marks: marksOf(context.tokenizer),
    counts: {
      documents: text.documents,
      text_bytes: text.textBytes,
      quarantined_rows: text.quarantinedRows,
      quarantined: text.quarantined,
      ...counted,
    },
    histograms,
    outputs: [
      outputOf('sequences', files.sequences, sequences),
      outputOf('documents', files.documents, documents),
      ...(report === null ? [] : [outputOf('quarantine', files.quarantine, report)]),
    ],
  };
  await removeStale(context.storage, files.manifest, task);
  await outputs.documents.commit();
  if (report !== null) await outputs.report.commit();
  else await context.storage.remove(files.quarantine);
  await outputs.sequences.commit();
  context.sink({ event: 'data-committed', shard: task.shard, part: task.part });
  const staged = await stageManifest(context.storage, files.manifest, manifest);
  await staged.commit();
  return manifest;
}

function outputOf(
  kind: ManifestOutput['kind'],
  path: string,
  { bytes, sha256, rows }: { readonly bytes: number; readonly sha256: string; readonly rows: number },
): ManifestOutput {
  return { kind, name: nameOf(path), bytes, sha256, rows };
}
