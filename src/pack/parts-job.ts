import type { CorpusSettings } from '../corpus/settings.js';
import type { Shard } from '../corpus/shard.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { EventSink } from '../parts/events.js';
import { overlapOf } from '../score/recipe.js';
import type { SequenceSettings } from '../sequence/settings.js';
import type { Storage } from '../storage/storage.js';
import type { PartContext, RowStage } from './make-part.js';

/** A corpus to be made into parts, and the step that makes rows into the columns of their files. */
export interface PartsJob
  extends Pick<
    PartContext,
    'kind' | 'folder' | 'tokenizer' | 'columns' | 'lossPrecision' | 'compression' | 'conventions'
  > {
  readonly settings: {
    readonly out: string;
    readonly corpus: CorpusSettings;
    readonly sequence: SequenceSettings;
  };
  readonly shards: readonly Shard[];
  /** What finding them left out, a line each. */
  readonly notes: readonly string[];
  /** Everything but the input that determines the bytes written. */
  readonly recipe: JsonObject;
  /** What parts by older rules would have otherwise: clauses. Empty where no change of the rules touches this run. */
  readonly changes: readonly string[];
  /** Parts in work at once. */
  readonly workers: number;
  /** Opens the stage of one of `lanes` lanes. */
  open(lanes: number): Promise<RowStage>;
}

/** A job with its tokenizer and models open. */
export interface OpenParts {
  readonly job: PartsJob;
  /** Once every part of this process is made: what reports want to know beside the parts. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** What the parts of a job share, but for the signal that stops one. */
export function partContext(job: PartsJob, storage: Storage, sink: EventSink): Omit<PartContext, 'signal'> {
  const { kind, folder, tokenizer, columns, lossPrecision, compression, conventions } = job;
  const { corpus, sequence } = job.settings;
  return {
    storage,
    kind,
    folder,
    tokenizer,
    packing: {
      length: sequence.length,
      packing: sequence.packing,
      attention: sequence.attention,
      overlap: overlapOf(sequence),
      bosId: tokenizer.bosId,
      eosId: tokenizer.eosId,
      eosEligible: sequence.eos_eligible,
    },
    columns,
    lossPrecision,
    compression,
    keepColumns: corpus.keep,
    conventions,
    sink,
  };
}
