import { usageError } from '../errors.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { alignRows, type NamedFile, type TokenSpan } from './align.js';
import { type DataSet, type DataSetKind, NEWEST_FIRST, openDataSet } from './data-set.js';
import { createDifference, type Difference } from './difference.js';
import { MANIFEST_SUFFIX, readManifest } from './manifest.js';
import { readSequences } from './reader.js';
import { LOSS_COLUMNS } from './sequence-batch.js';
import { vouchedFile } from './vouched.js';

/** A folder of scored or weighted parts. */
export interface RunFolder {
  readonly storage: Storage;
  readonly folder: string;
}

/** How two selections of the same tokens differ. */
export interface SelectionDifference {
  readonly keptA: number;
  readonly keptB: number;
  readonly keptBoth: number;
  /** Tokens of weight above 0 in one run only. */
  readonly flipped: number;
  /** `flipped` over the eligible tokens; 0 where there are none. */
  readonly flipRate: number;
  /** Tokens kept by both over tokens kept by either (Jaccard index); 1 where neither keeps any. */
  readonly agreement: number;
}

export interface RunDifference {
  readonly tokens: number;
  /** Tokens with a loss in either run, by the first loss column in common; all tokens where there is none. */
  readonly eligible: number;
  /** Where both runs have weights. */
  readonly selection?: SelectionDifference;
  /** Absolute differences in nats, by column that both runs have. */
  readonly losses: Readonly<Record<string, Difference>>;
}

export interface DiffReport {
  readonly shards: readonly (RunDifference & { readonly shard: string })[];
  readonly total: RunDifference;
  /** Parts that one run only has, as manifest paths relative to its folder. */
  readonly onlyInA: readonly string[];
  readonly onlyInB: readonly string[];
}

/**
 * Compares two runs token by token: parts by their place in the folder, then row by row. Streams both; memory is
 * one record batch a run and 256 KiB of counters a column.
 * Throws a usage error (`not-comparable`) that names the first position where token ids differ, or where the
 * runs have no part in common; an input error where a file is damaged.
 */
export async function diffRuns(a: RunFolder, b: RunFolder): Promise<DiffReport> {
  const [inA, inB] = [await manifestNames(a), await manifestNames(b)];
  const common = inA.filter((name) => inB.includes(name));
  if (common.length === 0) {
    throw usageError(
      'not-comparable',
      `${a.folder} and ${b.folder} have no part in common; give two folders of scored or weighted parts of one corpus`,
    );
  }
  const byShard = new Map<string, string[]>();
  for (const name of common) {
    const { shard } = await readManifest(a.storage, joinPath(a.folder, name));
    byShard.set(shard, [...(byShard.get(shard) ?? []), name]);
  }
  const total = createTally();
  const shards: DiffReport['shards'][number][] = [];
  for (const [shard, names] of byShard) {
    const tally = createTally();
    for (const name of names) {
      for await (const [left, right] of alignRows(await openPart(a, name), await openPart(b, name))) {
        tally.add(left, right);
        total.add(left, right);
      }
    }
    shards.push({ shard, ...tally.result() });
  }
  return {
    shards,
    total: total.result(),
    onlyInA: inA.filter((name) => !inB.includes(name)),
    onlyInB: inB.filter((name) => !inA.includes(name)),
  };
}

async function manifestNames({ storage, folder }: RunFolder): Promise<string[]> {
  const paths = await storage.list(folder);
  return paths
    .filter((path) => path.endsWith(MANIFEST_SUFFIX))
    .map((path) => path.slice(folder.length).replace(/^\/+/, ''));
}

async function openPart({ storage, folder }: RunFolder, name: string): Promise<NamedFile> {
  const path = joinPath(folder, name);
  const manifest = await readManifest(storage, path);
  const output = manifest.outputs.find(({ kind }) => kind === 'sequences');
  if (output === undefined) throw usageError('not-comparable', `${path}: the part has no sequence file`);
  const data = path.slice(0, path.lastIndexOf('/') + 1) + output.name;
  const file = await readSequences(storage, data);
  const { sha256, through } = vouchedFile(storage, data, manifest, 'sequences');
  return { path: data, file: { ...file, batches: () => through(file.batches(sha256)) } };
}

/**
 * Two data sets to compare: of runs the newest kind of parts that both have.
 * @throws TokensieveError (usage) `no-parts`; and as `openDataSet` throws
 */
export async function openAlike(
  storage: Storage,
  a: string,
  b: string,
): Promise<readonly [DataSet, DataSet]> {
  const open = (name: string, prefer: readonly DataSetKind[]): Promise<DataSet> =>
    openDataSet(storage, name, {
      prefer,
      around: true,
      nothing: { code: 'no-parts', advice: 'name a run, or a folder of scored or weighted parts' },
    });
  const [first, second] = [await open(a, NEWEST_FIRST), await open(b, NEWEST_FIRST)];
  if (first.kind === second.kind) return [first, second];
  const older = NEWEST_FIRST.slice(
    Math.max(NEWEST_FIRST.indexOf(first.kind), NEWEST_FIRST.indexOf(second.kind)),
  );
  return [await open(a, older), await open(b, older)];
}

/** Counts over spans of two runs. Columns are those of the first span. */
function createTally() {
  const counters = LOSS_COLUMNS.map((name) => ({ name, difference: createDifference() }));
  let tokens = 0;
  let eligible = 0;
  let weighted = false;
  let keptA = 0;
  let keptB = 0;
  let keptBoth = 0;
  return {
    add(a: TokenSpan, b: TokenSpan) {
      tokens += a.tokens;
      for (const { name, difference } of counters) {
        const [left, right] = [a.columns[name], b.columns[name]];
        if (left !== undefined && right !== undefined) difference.add(left, right);
      }
      eligible += eligibleIn(a, b);
      const [left, right] = [a.columns.weight, b.columns.weight];
      if (left === undefined || right === undefined) return;
      weighted = true;
      for (let i = 0; i < left.length; i++) {
        const [inA, inB] = [(left[i] as number) > 0, (right[i] as number) > 0];
        if (inA) keptA++;
        if (inB) keptB++;
        if (inA && inB) keptBoth++;
      }
    },
    result(): RunDifference {
      const results = counters.map(({ name, difference }) => [name, difference.result()] as const);
      const flipped = keptA + keptB - 2 * keptBoth;
      const either = keptA + keptB - keptBoth;
      const selection = {
        keptA,
        keptB,
        keptBoth,
        flipped,
        flipRate: eligible === 0 ? 0 : flipped / eligible,
        agreement: either === 0 ? 1 : keptBoth / either,
      };
      return {
        tokens,
        eligible,
        ...(weighted ? { selection } : {}),
        losses: Object.fromEntries(results.filter(([, { count, unpaired }]) => count + unpaired > 0)),
      };
    },
  };
}

function eligibleIn(a: TokenSpan, b: TokenSpan): number {
  const name = LOSS_COLUMNS.find(
    (column) => a.columns[column] !== undefined && b.columns[column] !== undefined,
  );
  const [left, right] = [name && a.columns[name], name && b.columns[name]];
  if (left === undefined || right === undefined) return a.tokens;
  let eligible = 0;
  for (let i = 0; i < left.length; i++) if (!(Number.isNaN(left[i]) && Number.isNaN(right[i]))) eligible++;
  return eligible;
}

/** The report as lines for a terminal: one a shard, then the total. */
export function formatDiff(report: DiffReport): string[] {
  const lines = report.shards.map(({ shard, ...difference }) => `${shard}: ${formatDifference(difference)}`);
  lines.push(`total: ${formatDifference(report.total)}`);
  if (report.onlyInA.length > 0) lines.push(`only in the first run: ${report.onlyInA.join(', ')}`);
  if (report.onlyInB.length > 0) lines.push(`only in the second run: ${report.onlyInB.join(', ')}`);
  return lines;
}

function formatDifference({ tokens, eligible, selection, losses }: RunDifference): string {
  const percent = (share: number) => `${(100 * share).toFixed(4)} %`;
  const parts = [`${tokens} tokens, ${eligible} eligible`];
  if (selection !== undefined) {
    const { keptA, keptB, flipped, flipRate, agreement } = selection;
    parts.push(
      `kept ${keptA} and ${keptB}, ${flipped} flipped (${percent(flipRate)}), agreement ${percent(agreement)}`,
    );
  }
  for (const [name, { max, mean, p999, unpaired }] of Object.entries(losses)) {
    const missing = unpaired > 0 ? `, ${unpaired} in one run only` : '';
    parts.push(
      `${name} differs by at most ${max.toPrecision(3)}, mean ${mean.toPrecision(3)}, 99.9 % within ${p999.toPrecision(3)} nats${missing}`,
    );
  }
  return parts.join('; ');
}
