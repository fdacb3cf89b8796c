/** Where the parts of a selection are read and weighed: in this thread, or (`weigher-thread.ts`) in another. */
import type { FinishedPart } from '../dataset/finished-parts.js';
import { MANIFEST_VERSION, type Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { openPart, type PartSource, partSource } from '../dataset/part-source.js';
import { createSequenceWriter } from '../dataset/writer.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { StagedOutput } from '../parts/commit-part.js';
import { outputOf } from '../parts/output-of.js';
import type { Storage } from '../storage/storage.js';
import { createPartTally, type PartSums } from './diagnosis/batch-tally.js';
import { type HeldParts, holdParts } from './held-parts.js';
import { type Prepared, type Reading, readPart, type Step } from './preparation.js';
import type { Selection } from './selection.js';
import type { SelectionStatistics } from './statistics.js';

/** What all parts have in common. Plain data. */
export interface WeighingRules {
  /** Of the weighted files. */
  readonly folder: string;
  readonly recipe: JsonObject;
  readonly compression: 'none' | 'zstd' | 'lz4';
  /** Kept column with a document's domain, where the method asks for one. */
  readonly domainColumn: string | null;
}

export interface Weigher {
  /** @param signal ends it at the next batch, with the signal's reason @throws as `readPart` */
  read(part: FinishedPart, step: Step, signal: AbortSignal): Promise<Reading>;
  /**
   * Writes the part's rows with their weights, up to its commit.
   * @param fingerprint of the weighted part
   */
  weigh(
    part: FinishedPart,
    fingerprint: string,
    prepared: Prepared,
    context: WeighingContext,
  ): Promise<WeighedPart>;
  close(): Promise<void>;
}

export interface WeighingContext {
  /** Ends the weighing at the next batch. */
  readonly signal: AbortSignal;
  /** Is told of the tokens that were weighed since the last time. */
  readonly tell: (tokens: number) => void;
}

export interface WeighedPart {
  readonly manifest: Manifest;
  readonly statistics: SelectionStatistics;
  readonly sums: PartSums;
  /** The staged file: the caller commits it or throws it away. */
  readonly file: StagedOutput;
}

/** Rows that may stay in memory between passes: eight to ten million tokens. */
const HELD_BYTES = 2 ** 27;

/** A weigher in this thread. */
export function localWeigher(selection: Selection, rules: WeighingRules, storage: Storage): Weigher {
  const held: HeldParts = holdParts(selection.rereads ? HELD_BYTES : 0);
  const sources = new Map<string, PartSource>();
  const sourceOf = (part: FinishedPart): PartSource => {
    const key = partFiles(part.folder, part.manifest.shard, part.manifest.part).sequences;
    const source = sources.get(key) ?? held.hold(partSource(storage, part, rules.domainColumn));
    sources.set(key, source);
    return source;
  };
  return {
    read: (part, step, signal) => readPart(selection, stoppedBy(signal, sourceOf(part)), step),
    weigh: (part, fingerprint, prepared, { signal, tell }) =>
      weighPart(part, stoppedBy(signal, sourceOf(part)), {
        selection,
        rules,
        storage,
        fingerprint,
        prepared,
        tell,
      }),
    close: async () => sources.clear(),
  };
}

/** The part, every reading of which ends at the next batch once the signal is raised. */
function stoppedBy(signal: AbortSignal, source: PartSource): PartSource {
  return {
    ...source,
    async *batches() {
      for await (const batch of source.batches()) {
        signal.throwIfAborted();
        yield batch;
      }
    },
  };
}

interface Weighing {
  readonly selection: Selection;
  readonly rules: WeighingRules;
  readonly storage: Storage;
  readonly fingerprint: string;
  readonly prepared: Prepared;
  readonly tell: (tokens: number) => void;
}

async function weighPart(
  scored: FinishedPart,
  source: PartSource,
  { selection, rules, storage, fingerprint, prepared, tell }: Weighing,
): Promise<WeighedPart> {
  const { shard, part, input, counts } = scored.manifest;
  const { folder, recipe, compression } = rules;
  const scoredFile = await openPart(storage, scored);
  const files = partFiles(folder, shard, part);
  const writer = await createSequenceWriter(storage, files.sequences, {
    columns: [...scoredFile.columns, 'weight'],
    lossPrecision: scoredFile.lossPrecision,
    compression,
    metadata: { fingerprint, recipe, conventions: { ...selection.conventions } },
  });
  try {
    const tally = createPartTally();
    const weighing = selection.weigh(source, prepared);
    for await (const { batch, weights } of weighing.batches) {
      await writer.write({ ...batch, columns: { ...batch.columns, weight: weights } });
      tally.add(batch, weights);
      tell(batch.inputIds.length);
    }
    const written = await writer.finish();
    const { statistics } = written;
    const manifest: Manifest = {
      version: MANIFEST_VERSION,
      kind: 'weighted',
      shard,
      part,
      input,
      fingerprint,
      recipe,
      counts: {
        ...counts,
        sequences: statistics.sequences,
        tokens: statistics.tokens,
        ...(statistics.eligible !== undefined && { eligible: statistics.eligible }),
        ...(statistics.kept !== undefined && { kept: statistics.kept }),
        ...(statistics.weight_sum !== undefined && { weight_sum: statistics.weight_sum }),
      },
      histograms: statistics.histograms,
      outputs: [outputOf('sequences', files.sequences, written)],
    };
    return { manifest, statistics: weighing.statistics(), sums: tally.sums(), file: writer };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
