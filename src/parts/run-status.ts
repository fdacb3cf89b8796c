/**
 * How far the parts of a run are, and who is at them: from one listing of the output folder and the notes of the
 * processes that worked on it, whatever executor they have.
 */
import { hostname } from 'node:os';
import type { FinishedPart } from '../dataset/finished-parts.js';
import { MANIFEST_SUFFIX, type Manifest, readManifest } from '../dataset/manifest.js';
import { packedFolder, placeOfManifest, scoredFolder, weightedFolder } from '../dataset/part-files.js';
import { usageError } from '../errors.js';
import { mapAhead } from '../flow/map-ahead.js';
import { hashJson } from '../json/canonical-json.js';
import { type RulesReport, rulesOfParts } from '../rules/run-rules.js';
import { isRunning } from '../storage/process-identity.js';
import type { Storage } from '../storage/storage.js';
import { wholeOf } from './whole-of.js';
import { type PlanNotes, readWorkerNotes, type WorkerNotes } from './worker-notes.js';

/** Manifests that are opened; of more, this many evenly spaced ones, and sums are estimates. */
const READ_MANIFESTS = 2_000;
const MANIFESTS_AHEAD = 16;
/** Parts by which a run's rules are judged: `verify` looks at all. */
const JUDGED_PARTS = 64;
/** A process that has written nothing for so long is gone, or cut off: twelve writes are missing. */
const SILENT_MS = 60_000;

/** `silent`: says that it runs, but its process is gone or has not written for a minute. */
export type WorkerState = WorkerNotes['state'] | 'silent';

export interface WorkerStatus {
  readonly worker: string;
  readonly executor: WorkerNotes['executor'];
  readonly share: WorkerNotes['share'];
  readonly state: WorkerState;
  readonly parts: number;
  readonly tokens: number;
  readonly tokens_per_second: number | null;
  /** Time since its notes were written. */
  readonly seconds_ago: number;
  readonly in_work: readonly { readonly shard: string; readonly part: number; readonly seconds: number }[];
  readonly error: string | null;
}

/** One stage of parts. Snake case: `status --json` prints it as it is. */
export interface PartsStatus {
  readonly kind: Manifest['kind'];
  readonly folder: string;
  readonly parts: {
    /** Manifests of the plan's recipe; without a plan, all. */
    readonly done: number;
    /** In work by processes that run. */
    readonly running: number;
    /** Manifests of another recipe. */
    readonly stale: number;
    /** Null when no plan was noted, or when only reading tells (compressed jsonl) and nobody has read to the end. */
    readonly total: number | null;
  };
  /** Shards whose parts only reading tells, and those that could not be planned. */
  readonly streams: number;
  readonly broken_shards: number;
  /** Whether sums are estimates, because there are too many manifests to open. */
  readonly estimated: boolean;
  readonly tokens: number;
  readonly text_bytes: { readonly done: number; readonly total: number | null };
  readonly quarantined_rows: number;
  /** Which of its results changes of the rules since touch; null without parts. */
  readonly rules: RulesReport | null;
  /** Of the processes that run, together. */
  readonly tokens_per_second: number | null;
  readonly seconds_left: number | null;
  readonly workers: readonly WorkerStatus[];
  /** Notes that are damaged and passed over: what they told is missing here. Absent where there are none. */
  readonly damaged_notes?: readonly string[];
}

/**
 * @param out output folder of `score`, `pack`, `import`, `select` or of a run
 * @throws TokensieveError `no-run` (usage) when nothing there tells of parts
 */
export async function runStatus(storage: Storage, out: string): Promise<readonly PartsStatus[]> {
  const { plans, workers, damaged } = await readWorkerNotes(storage, out);
  const found: PartsStatus[] = [];
  for (const [kind, folder] of [
    ['packed', packedFolder(out)],
    ['scored', scoredFolder(out)],
    ['weighted', weightedFolder(out)],
  ] as const) {
    const plan = plans.find((one) => one.kind === kind);
    // Selections of before have left no notes, and were done when they ended.
    if (kind === 'weighted' && plan === undefined) continue;
    // Weighted files that lie elsewhere have their notes beside them: no run is there.
    const place = kind === 'weighted' && found.length === 0 ? out : folder;
    const paths = (await storage.list(place)).filter(
      (path) => path.endsWith(MANIFEST_SUFFIX) && placeOfManifest(place, path) !== null,
    );
    const own = workers.filter((worker) => worker.kind === kind);
    if (plan === undefined && paths.length === 0 && own.length === 0) continue;
    found.push({
      ...(await partsStatus(storage, { kind, folder: place, plan, paths, notes: own })),
      ...(damaged.length > 0 && { damaged_notes: damaged }),
    });
  }
  if (found.length > 0) return found;
  throw usageError(
    'no-run',
    `${out}: no parts, and no notes of a process that makes some; name the output folder (--out) of run, score, pack or select`,
  );
}

interface Found {
  readonly kind: Manifest['kind'];
  readonly folder: string;
  readonly plan: PlanNotes | undefined;
  readonly paths: readonly string[];
  readonly notes: readonly WorkerNotes[];
}

async function partsStatus(
  storage: Storage,
  { kind, folder, plan, paths, notes }: Found,
): Promise<PartsStatus> {
  const sums = await sumManifests(storage, folder, paths, plan?.recipe);
  const workers: WorkerStatus[] = [];
  for (const one of notes) workers.push(await workerStatus(one));
  const running = workers.filter(({ state }) => state === 'running');
  const rate = (value: (worker: WorkerNotes) => number): number =>
    notes
      .filter((_, i) => workers[i]?.state === 'running')
      .reduce((sum, worker) => sum + (worker.seconds > 0 ? value(worker) / worker.seconds : 0), 0);
  const total = plan?.text_bytes ?? null;
  const bytesPerSecond = rate((worker) => worker.text_bytes);
  const whole = wholeOf(plan, notes);
  const isDone = whole !== null && sums.done >= whole;
  return {
    kind,
    folder,
    parts: {
      done: sums.done,
      running: running.reduce((sum, { in_work }) => sum + in_work.length, 0),
      stale: sums.stale,
      total: whole,
    },
    streams: plan?.streams ?? 0,
    broken_shards: plan?.broken_shards ?? 0,
    estimated: sums.estimated,
    tokens: sums.tokens,
    text_bytes: { done: sums.textBytes, total },
    quarantined_rows: sums.quarantinedRows,
    rules: await rulesOfParts(storage, sums.parts),
    tokens_per_second: running.length === 0 ? null : Math.round(rate((worker) => worker.tokens)),
    seconds_left: isDone
      ? 0
      : total === null || bytesPerSecond === 0
        ? null
        : Math.round(Math.max(0, total - sums.textBytes) / bytesPerSecond),
    workers: workers.sort((a, b) => a.seconds_ago - b.seconds_ago),
  };
}

async function sumManifests(
  storage: Storage,
  folder: string,
  paths: readonly string[],
  recipe: string | undefined,
) {
  const every = Math.max(1, paths.length / READ_MANIFESTS);
  const opened = Array.from(
    { length: Math.min(paths.length, READ_MANIFESTS) },
    (_, i) => paths[Math.floor(i * every)],
  );
  const parts: FinishedPart[] = [];
  const sums = { done: 0, stale: 0, tokens: 0, textBytes: 0, quarantinedRows: 0 };
  const read = async (path: string | undefined): Promise<Manifest | null> => {
    try {
      return path === undefined ? null : await readManifest(storage, path);
    } catch {
      // Half-way through being replaced, or damaged: not done.
      return null;
    }
  };
  for await (const manifest of mapAhead(opened, MANIFESTS_AHEAD, read)) {
    if (manifest === null || (recipe !== undefined && hashJson(manifest.recipe) !== recipe)) {
      sums.stale++;
      continue;
    }
    sums.done++;
    if (parts.length < JUDGED_PARTS) parts.push({ manifest, folder });
    sums.tokens += manifest.counts.tokens;
    sums.textBytes += manifest.counts.text_bytes;
    sums.quarantinedRows += manifest.counts.quarantined_rows;
  }
  const scaled = (value: number): number => Math.round(value * every);
  return {
    done: paths.length - scaled(sums.stale),
    stale: scaled(sums.stale),
    tokens: scaled(sums.tokens),
    textBytes: scaled(sums.textBytes),
    quarantinedRows: scaled(sums.quarantinedRows),
    estimated: every > 1,
    parts,
  };
}

async function workerStatus(notes: WorkerNotes): Promise<WorkerStatus> {
  const { worker, executor, share, parts, tokens, seconds, error } = notes;
  const since = (time: string): number => Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  return {
    worker,
    executor,
    share,
    state: await stateOf(notes),
    parts,
    tokens,
    tokens_per_second: seconds > 0 ? Math.round(tokens / seconds) : null,
    seconds_ago: since(notes.updated),
    in_work: notes.in_work.map((one) => ({ shard: one.shard, part: one.part, seconds: since(one.since) })),
    error,
  };
}

async function stateOf({ state, host, pid, updated }: WorkerNotes): Promise<WorkerState> {
  if (state !== 'running') return state;
  if (Date.now() - Date.parse(updated) > SILENT_MS) return 'silent';
  if (host === hostname() && !(await isRunning({ pid, started: '' }))) return 'silent';
  return 'running';
}
