import type { LossColumn, SequenceBatch } from '#tokensieve/dataset/sequence-batch.js';
import type { PartSource } from '#tokensieve/select/part-source.js';
import { createSelection } from '#tokensieve/select/selection.js';
import { type SelectionInput, selectionSettings } from '#tokensieve/select/settings.js';
import type { SelectionStatistics } from '#tokensieve/select/statistics.js';

export const LOSS_COLUMNS: readonly LossColumn[] = [
  'reference_loss',
  'current_loss',
  'reference_entropy',
  'current_entropy',
];

/** A row as the conformance vectors write it; null is "no loss". */
export interface VectorRow extends Readonly<{ [C in LossColumn]?: readonly (number | null)[] | undefined }> {
  /** Row in the part; its place in the list when absent. */
  readonly id?: number | undefined;
  /** [document, tokens] runs that cover the row. */
  readonly documents?: readonly (readonly [number, number])[] | undefined;
}

export interface VectorPart {
  readonly shard: string;
  readonly part: number;
  readonly rows: readonly VectorRow[];
  readonly domains?: Readonly<Record<string, string | null>> | undefined;
}

const lengthOf = (row: VectorRow): number =>
  LOSS_COLUMNS.map((name) => row[name]).find((column) => column !== undefined)?.length ?? 0;

export function toBatch(rows: readonly VectorRow[], firstId: number): SequenceBatch {
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((row, r) => {
    offsets[r + 1] = offsets[r]! + lengthOf(row);
  });
  const columns: Partial<Record<LossColumn, Float32Array>> = {};
  for (const name of LOSS_COLUMNS) {
    if (rows.length > 0 && rows.every((row) => row[name] !== undefined)) {
      columns[name] = Float32Array.from(
        rows.flatMap((row) => [...row[name]!]),
        (value) => value ?? Number.NaN,
      );
    }
  }
  const runs = rows.map((row) => row.documents ?? [[0, lengthOf(row)] as const]);
  const starts = runs.map((own) => own.map((_, i) => own.slice(0, i).reduce((sum, [, n]) => sum + n, 0)));
  return {
    sequenceIds: BigInt64Array.from(rows, (row, r) => BigInt(row.id ?? firstId + r)),
    offsets,
    inputIds: new Int32Array(offsets[rows.length]!),
    columns,
    segments: {
      offsets: Int32Array.from([0, ...runs.map((_, r) => runs.slice(0, r + 1).flat().length)]),
      document: BigInt64Array.from(runs.flat(), ([document]) => BigInt(document)),
      tokenStart: Int32Array.from(starts.flat()),
      tokenCount: Int32Array.from(runs.flat(), ([, count]) => count),
      byteStart: new BigInt64Array(runs.flat().length),
      byteEnd: new BigInt64Array(runs.flat().length),
    },
  };
}

/** A part whose batches hold `batchRows` rows each; counts how often it is opened and read. */
export function toSource(part: VectorPart, batchRows: number): PartSource & { batchesRead: number } {
  const { domains } = part;
  const source = {
    shard: part.shard,
    part: part.part,
    batchesRead: 0,
    async *batches() {
      for (let r = 0; r < part.rows.length; r += batchRows) {
        source.batchesRead++;
        yield toBatch(part.rows.slice(r, r + batchRows), r);
      }
    },
  };
  if (domains === undefined) return source;
  return Object.assign(source, { domainOf: (document: bigint) => domains[String(document)] ?? null });
}

export interface Selected {
  /** [parts][rows][tokens] */
  readonly weights: number[][][];
  readonly statistics: SelectionStatistics[];
}

export interface HowToRun {
  readonly batchRows?: number;
  readonly concurrency?: number;
  /** Order in which prepared parts are weighed; in order when absent. */
  readonly order?: readonly number[];
}

export async function select(
  settings: SelectionInput,
  parts: readonly VectorPart[],
  { batchRows = 3, concurrency = 1, order = parts.map((_, p) => p) }: HowToRun = {},
): Promise<Selected> {
  const selection = createSelection(selectionSettings.parse(settings));
  const sources = parts.map((part) => toSource(part, batchRows));
  // Prepared state must survive the way to another thread.
  const prepared = structuredClone(await selection.prepare(sources, { concurrency }));
  const weights: number[][][] = [];
  const statistics: SelectionStatistics[] = [];
  await Promise.all(
    order.map(async (p) => {
      const weighing = selection.weigh(sources[p]!, prepared);
      const rows: number[][] = [];
      for await (const { batch, weights: own } of weighing.batches) {
        for (let r = 0; r + 1 < batch.offsets.length; r++) {
          rows.push([...own.subarray(batch.offsets[r], batch.offsets[r + 1])]);
        }
      }
      weights[p] = rows;
      statistics[p] = weighing.statistics();
    }),
  );
  return { weights, statistics };
}
