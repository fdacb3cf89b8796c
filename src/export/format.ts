import type { Storage } from '../storage/storage.js';
import type { ExportRows } from './rows.js';
import type { ExportSettings, FormatName } from './settings.js';
import type { ExportSource } from './source.js';

/** A file that a format writes into: hashed, invisible until the run commits it. */
export interface OutputFile {
  /** Bytes written so far. */
  readonly bytes: number;
  write(bytes: Uint8Array): Promise<void>;
}

export interface ExportCounts {
  readonly rows: number;
  /** Ids written; those that rows repeat are among them where the format keeps rows. */
  readonly tokens: number;
  /** Tokens of weight above 0. */
  readonly kept: number;
  readonly weight_sum: number;
}

/** What a format knows of the export it is part of. */
export interface ExportContext {
  readonly storage: Storage;
  readonly settings: ExportSettings;
  readonly source: ExportSource;
  readonly signal: AbortSignal;
  /** Output shards of the export. */
  readonly shards: number;
}

export interface ShardContext extends ExportContext {
  readonly index: number;
  /** Ids of this shard as a stream, each once: the shard is read for it. */
  countIds(): Promise<number>;
  /** Opens an output of this shard by its name below the export's folder. */
  create(name: string): Promise<OutputFile>;
}

export interface ShardWriter {
  /** Takes the next rows of the shard; done with their arrays once it resolves. */
  write(rows: ExportRows): Promise<void>;
  /** Writes what is left. */
  finish(): Promise<void>;
}

/** A finished export, for the files that describe it. */
export interface FinishedExport extends ExportContext {
  readonly fingerprint: string;
  readonly counts: ExportCounts;
  /** Data files in order, with what stands in them. */
  readonly outputs: readonly { readonly name: string; readonly bytes: number; readonly rows: number }[];
}

/** A format of `tokensieve export`: all there is to know of it is here and in its file. */
export interface ExportFormat {
  readonly name: FormatName;
  readonly summary: string;
  /** Raised by hand when the format would write other bytes for the same source. */
  readonly semantics: number;
  /** Settings, beside the common ones, that decide its bytes. */
  readonly settings: readonly (keyof ExportSettings)[];
  /**
   * Settings that came later: the value at which the bytes are what they were before, and at which a recipe does not have them.
   */
  readonly later?: Readonly<Partial<Record<keyof ExportSettings, unknown>>>;
  /** Whether output shards may end within a part. */
  readonly cut: 'rows' | 'parts';
  /** Why weights must be 0 or 1; null where fractions are kept. */
  bitsOnly(settings: ExportSettings): string | null;
  /** Bytes of an output shard for each token of the source, for the plan: about right will do. */
  bytesPerToken(settings: ExportSettings, source: ExportSource): number;
  /** How rows are laid out before they are written and counted; as they were scored where there is nothing said. */
  rowsOf?(settings: ExportSettings): (rows: ExportRows) => ExportRows;
  open(shard: ShardContext): Promise<ShardWriter>;
  /** The format with what the shards of one export share: it is closed when they are done. */
  prepare?(context: ExportContext): Promise<ExportFormat & { close(): Promise<void> }>;
  /** Files beside the shards, by name: written when all shards are there. */
  describe(finished: FinishedExport): Readonly<Record<string, string>>;
}
