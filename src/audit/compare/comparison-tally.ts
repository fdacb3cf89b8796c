/** Two runs over the same tokens: how far they agree, and where they do not. Pure: spans in, counts out. */
import type { TokenSpan } from '../../dataset/align.js';
import { createDifference } from '../../dataset/difference.js';
import { type DomainAxis, NO_DOMAIN } from '../../dataset/domains.js';
import type { PartPlace } from '../../dataset/part-files.js';
import type { SequenceBatch, TokenColumn } from '../../dataset/sequence-batch.js';
import { LOSS_COLUMNS } from '../../dataset/sequence-batch.js';
import { inputError } from '../../errors.js';
import type { Comparison } from './comparison-report.js';
import { createCut } from './cut.js';
import { createBins, createGroups, type Groups } from './groups.js';
import { createSample, drawRoom, drawRow, exampleOf, sampleKey } from './sample.js';

type Columns = TokenSpan['columns'];
type Values = Float32Array;

/** What runs are compared by, token by token: the first that both have. */
export type Measure = NonNullable<Comparison['measure']>;

const MEASURES: readonly { readonly name: Measure; readonly columns: readonly TokenColumn[] }[] = [
  { name: 'excess', columns: ['current_loss', 'reference_loss'] },
  { name: 'current_loss', columns: ['current_loss'] },
  { name: 'reference_loss', columns: ['reference_loss'] },
];

export const measureOf = (a: Columns, b: Columns): Measure | null =>
  MEASURES.find(({ columns }) => columns.every((name) => a[name] !== undefined && b[name] !== undefined))
    ?.name ?? null;

/** [tokens] The measure in one run, in nats; without a measure in common, any loss that the run has. */
function valuesOf(columns: Columns, measure: Measure | null): Values {
  const { current_loss: current, reference_loss: reference } = columns;
  if (measure === 'excess') return excessOf(columns) ?? new Float32Array();
  const values = measure === null ? (current ?? reference) : columns[measure];
  return values ?? new Float32Array(columns.weight?.length ?? 0).fill(Number.NaN);
}

/** Excess loss, rounded to fp32 as selection has it. */
function excessOf({ current_loss: current, reference_loss: reference }: Columns): Values | null {
  if (current === undefined || reference === undefined) return null;
  return current.map((loss, i) => loss - (reference[i] as number));
}

/** Kept by neither run 0, by the first 1, by the second 2, by both 3. */
const keptBy = (a: Values | undefined, b: Values | undefined, i: number): number =>
  a === undefined || b === undefined ? 0 : ((a[i] as number) > 0 ? 1 : 0) + ((b[i] as number) > 0 ? 2 : 0);

/** The excess at which each run cuts in a part, as `createCut` estimates it; null for runs without one. */
export type Cuts = readonly [number | null, number | null];

export function createCuts() {
  const cuts = [createCut(), createCut()] as const;
  return {
    add(spans: readonly [TokenSpan, TokenSpan]): void {
      for (const [run, { columns }] of spans.entries()) {
        const excess = excessOf(columns);
        const { weight } = columns;
        if (excess === null || weight === undefined) return;
        for (let i = 0; i < excess.length; i++) {
          if (!Number.isNaN(excess[i])) cuts[run]?.add(excess[i] as number, (weight[i] as number) > 0);
        }
      }
    },
    result: (): Cuts => [cuts[0].result(), cuts[1].result()],
  };
}

/** What is known of a part before its tokens are compared. */
export interface ComparedPart {
  readonly place: PartPlace;
  readonly cuts: Cuts;
  /** For each axis, the group of a document. */
  readonly groupsOf: readonly ((document: bigint) => string)[];
}

export interface ComparisonOptions {
  readonly classOf?: (id: number) => string;
  /** What documents are grouped by. */
  readonly axes: readonly Pick<DomainAxis, 'by' | 'label'>[];
  readonly seed: number;
  /** Examples of tokens that one run only keeps, of each direction. */
  readonly examples: number;
}

/** First positions of the groups: twice as many positions in each as in the one before. */
const POSITIONS = [0, ...Array.from({ length: 24 }, (_, power) => 2 ** power)];
const DISTANCES = [0, 0.05, 0.1, 0.25, 0.5, 1, 2, 4];

const range = (low: number, high: number | null): string =>
  high === null ? `${low} or more` : `${low} to ${high}`;
const positions = (low: number, high: number | null): string =>
  high === null ? `${low} or more` : high === low + 1 ? `${low}` : `${low} to ${high - 1}`;

/** Memory does not grow with the number of tokens. */
export function createComparison(options: ComparisonOptions) {
  const { classOf, seed } = options;
  const differences = LOSS_COLUMNS.map((name) => ({ name, counter: createDifference() }));
  const table = [0, 0, 0, 0];
  let tokens = 0;
  let unpaired = 0;
  let weighted = false;
  let measure: Measure | null = null;
  let hasCut = false;
  const classes = createGroups();
  const classNumbers = new Map<number, number>();
  const byPosition = createBins(POSITIONS, positions);
  const byDistance = createBins(DISTANCES, range);
  const byAxis = options.axes.map(() => createGroups());
  const samples = [createSample<Flip>(options.examples), createSample<Flip>(options.examples)] as const;

  const classNumber = (id: number, name: string): number => {
    const number = classes.numberOf(name);
    classNumbers.set(id, number);
    return number;
  };

  return {
    add(part: ComparedPart, [a, b]: readonly [TokenSpan, TokenSpan]): void {
      const { batch, rowStart, rowEnd } = a;
      const { cuts, groupsOf, place } = part;
      tokens += a.tokens;
      measure = measureOf(a.columns, b.columns);
      const [left, right] = [valuesOf(a.columns, measure), valuesOf(b.columns, measure)];
      for (const { name, counter } of differences) {
        const [x, y] = [a.columns[name], b.columns[name]];
        if (x === undefined || y === undefined) continue;
        refuseInfinite(place, name, x, y);
        counter.add(x, y);
      }
      const [weightA, weightB] = [a.columns.weight, b.columns.weight];
      const selected = weightA !== undefined && weightB !== undefined;
      weighted ||= selected;
      const [cutA, cutB] = measure === 'excess' ? cuts : [null, null];
      hasCut ||= cutA !== null || cutB !== null;
      const [excessA, excessB] = [excessOf(a.columns), excessOf(b.columns)];
      const words = drawRoom(batch);
      const key = sampleKey(seed, place.shard);
      const base = batch.offsets[rowStart] ?? 0;
      for (let row = rowStart; row < rowEnd; row++) {
        const start = batch.offsets[row] ?? 0;
        const length = (batch.offsets[row + 1] ?? 0) - start;
        drawRow(key, place.part, batch.sequenceIds[row] ?? 0n, length, words);
        const runs = segmentsOf(batch, row, length);
        for (const { from, to, document } of runs) {
          const numbers: number[] = [];
          const counters: Groups[] = [];
          for (const [axis, groupOf] of groupsOf.entries()) {
            const counter = byAxis[axis];
            if (counter === undefined) continue;
            numbers.push(counter.numberOf(document === null ? NO_DOMAIN : groupOf(document)));
            counters.push(counter);
          }
          for (let position = from; position < to; position++) {
            const i = start - base + position;
            const [x, y] = [left[i] as number, right[i] as number];
            if (Number.isNaN(x) || Number.isNaN(y)) {
              if (Number.isNaN(x) !== Number.isNaN(y)) unpaired++;
              continue;
            }
            const kept = keptBy(weightA, weightB, i);
            const difference = measure === null ? Number.NaN : Math.abs(x - y);
            table[kept] = (table[kept] as number) + 1;
            byPosition.add(byPosition.binOf(position), kept, difference);
            if (classOf !== undefined) {
              const id = batch.inputIds[start + position] as number;
              classes.add(classNumbers.get(id) ?? classNumber(id, classOf(id)), kept, difference);
            }
            for (let c = 0; c < counters.length; c++)
              counters[c]?.add(numbers[c] as number, kept, difference);
            if (cutA !== null || cutB !== null) {
              const fromA = cutA === null ? 0 : Math.abs(x - cutA);
              const fromB = cutB === null ? 0 : Math.abs(y - cutB);
              byDistance.add(byDistance.binOf(Math.max(fromA, fromB)), kept, difference);
            }
            if (kept !== 1 && kept !== 2) continue;
            const word = words[position] as number;
            const sample = samples[kept - 1];
            if (!sample?.takes(word)) continue;
            sample.add(word, {
              ...exampleOf(place, batch, row, position),
              kept_by: kept === 1 ? 'a' : 'b',
              excess_a: excessA?.[i] ?? null,
              excess_b: excessB?.[i] ?? null,
            });
          }
        }
      }
    },
    result() {
      const [neither = 0, onlyA = 0, onlyB = 0, both = 0] = table;
      const eligible = neither + onlyA + onlyB + both;
      const flipped = onlyA + onlyB;
      const selection = {
        both,
        only_a: onlyA,
        only_b: onlyB,
        neither,
        flipped,
        flip_rate: eligible === 0 ? 0 : flipped / eligible,
        agreement: both + flipped === 0 ? 1 : both / (both + flipped),
      };
      const losses = differences.map(({ name, counter }) => ({ column: name, ...counter.result() }));
      return {
        tokens,
        eligible,
        unpaired,
        measure,
        selection: weighted ? selection : null,
        losses: losses.filter(({ count, unpaired: alone }) => count + alone > 0),
        differ_by: [
          ...(classOf === undefined ? [] : [classes.report('token_class', 'token class', weighted)]),
          ...options.axes.flatMap(({ by, label }, axis) => byAxis[axis]?.report(by, label, weighted) ?? []),
          byPosition.report('position', 'position in the row', weighted),
          ...(hasCut
            ? [byDistance.report('cut_distance', 'distance of the excess from the cut, nats', weighted)]
            : []),
        ],
        examples: samples.flatMap((sample) => [...sample.items()]),
        seed,
      } satisfies Partial<Comparison>;
    },
  };
}

type Flip = Comparison['examples'][number];

interface DocumentSpan {
  readonly from: number;
  readonly to: number;
  readonly document: bigint | null;
}

/** The row's positions by document, in order; positions that no segment covers belong to none. */
function segmentsOf({ segments }: SequenceBatch, row: number, length: number): DocumentSpan[] {
  const spans: DocumentSpan[] = [];
  let at = 0;
  for (let s = segments.offsets[row] ?? 0; s < (segments.offsets[row + 1] ?? 0); s++) {
    const from = Math.max(at, segments.tokenStart[s] ?? 0);
    const to = Math.min(length, (segments.tokenStart[s] ?? 0) + (segments.tokenCount[s] ?? 0));
    if (to <= from) continue;
    if (from > at) spans.push({ from: at, to: from, document: null });
    spans.push({ from, to, document: segments.document[s] ?? null });
    at = to;
  }
  if (at < length) spans.push({ from: at, to: length, document: null });
  return spans;
}

function refuseInfinite({ shard, part }: PartPlace, column: string, ...runs: readonly Values[]): void {
  for (const values of runs) {
    for (const value of values) {
      if (Math.abs(value) !== Number.POSITIVE_INFINITY) continue;
      throw inputError(
        'infinite-loss',
        `${shard} part ${part}: ${column} is ${value}, expected a finite number of nats; the scores overflowed, score this part again`,
      );
    }
  }
}
