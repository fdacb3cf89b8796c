/** How far the stages of a pipeline are, training included, whoever is at them: from the files that they leave. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { packedFolder, scoredFolder, weightedFolder } from '../dataset/part-files.js';
import { TokensieveError } from '../errors.js';
import { EXPORT_INDEX } from '../export/manifest.js';
import { type PartsStatus, runStatus } from '../parts/run-status.js';
import type { Pipeline } from '../pipeline/settings.js';
import type { Stage, StagedPipeline } from '../pipeline/stages.js';
import { absolutePath, folderOf, isUrl, joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { METRICS_FILE, MODEL_FOLDER, REPORT_FILE } from '../train/run-files.js';
import { inspectTraining } from './training.js';

/** A process that has added no step for so long is not counted as being at it. */
const SILENT_MS = 60_000;

export type StageState = 'done' | 'at work' | 'begun' | 'waiting';

/** Snake case: `status --json` prints it as it is. */
export interface TrainingStatus {
  /** Steps taken, of how many; null where only the data tells. */
  readonly steps: { readonly done: number; readonly total: number | null };
  readonly tokens: number;
  /** Of the newest step, in nats: what is minimised. */
  readonly loss: number | null;
  readonly held_out: Readonly<Record<string, number>> | null;
  readonly tokens_per_second: number | null;
  readonly seconds_left: number | null;
  readonly checkpoints: number;
}

export interface StageStatus {
  readonly name: string;
  readonly kind: Stage['kind'];
  readonly state: StageState;
  /** What it writes: a folder, or a file. */
  readonly out: string;
  readonly parts?: PartsStatus;
  readonly training?: TrainingStatus;
}

/** Every stage in order. @throws TokensieveError where the store itself fails */
export async function pipelineStatus(
  storage: Storage,
  job: { readonly pipeline: Pipeline } | { readonly staged: StagedPipeline },
): Promise<readonly StageStatus[]> {
  const found: StageStatus[] = [];
  const stages = 'staged' in job ? job.staged.stages : stagesOfRun(job.pipeline);
  for (const stage of stages as readonly Looked[]) found.push(await stageStatus(storage, stage));
  return found;
}

/** What of a stage says where its files are, and how many there will be. */
interface Looked extends Pick<Stage, 'name' | 'kind'> {
  readonly settings: {
    readonly out?: string | undefined;
    readonly run?: string | undefined;
    readonly batch?: TrainSteps['batch'] | undefined;
  };
}

/** A single run is its scoring and, where it asks for one, its selection. */
const stagesOfRun = ({ out, select }: Pipeline): readonly Looked[] => [
  { name: 'score', kind: 'score', settings: { out } },
  ...(select === undefined ? [] : [{ name: 'select', kind: 'select' as const, settings: { run: out } }]),
];

async function stageStatus(storage: Storage, { name, kind, settings }: Looked): Promise<StageStatus> {
  const { out = '', run = '' } = settings;
  switch (kind) {
    case 'pack':
      return parts(storage, { name, kind, out: packedFolder(out) }, out, 'packed');
    case 'score':
    case 'import':
      return parts(storage, { name, kind, out: scoredFolder(out) }, out, 'scored');
    case 'select': {
      const folder = settings.out ?? weightedFolder(run);
      const isHome = absolutePath(folder) === absolutePath(weightedFolder(run));
      return parts(storage, { name, kind, out: folder }, isHome ? run : folder, 'weighted');
    }
    case 'train': {
      const { training, state } = await trainingStatus(settings, out);
      return { name, kind, state, out, ...(training !== null && { training }) };
    }
    case 'export':
      return file(storage, { name, kind, out }, joinPath(out, EXPORT_INDEX));
    case 'audit': {
      const folder = settings.out ?? joinPath(run, 'audit');
      return file(storage, { name, kind, out: folder }, joinPath(folder, 'audit.json'));
    }
    case 'eval':
    case 'report':
      return file(storage, { name, kind, out }, out);
  }
}

type Named = Pick<StageStatus, 'name' | 'kind' | 'out'>;

async function parts(
  storage: Storage,
  named: Named,
  folder: string,
  kind: PartsStatus['kind'],
): Promise<StageStatus> {
  const own = (await statusOrNone(storage, folder)).find((one) => one.kind === kind);
  if (own === undefined) return { ...named, state: 'waiting' };
  const { done, running, total } = own.parts;
  const isAtWork = running > 0 || own.workers.some(({ state }) => state === 'running');
  const isDone = total === null ? done > 0 && ended(own) : done >= total;
  return { ...named, state: isAtWork ? 'at work' : isDone ? 'done' : 'begun', parts: own };
}

/**
 * Of compressed jsonl nobody knows the number of parts but who made them all: the process that was at it last, or every share of
 * an array. Without notes of them nothing tells that it is done.
 */
function ended({ workers }: PartsStatus): boolean {
  const [last] = workers;
  if (last === undefined || last.share === null) return last?.state === 'done';
  const { count } = last.share;
  const shares = workers.filter(({ state, share }) => state === 'done' && share?.count === count);
  return new Set(shares.map(({ share }) => share?.index)).size === count;
}

async function statusOrNone(storage: Storage, folder: string): Promise<readonly PartsStatus[]> {
  try {
    return await runStatus(storage, folder);
  } catch (error) {
    if (error instanceof TokensieveError && error.code === 'no-run') return [];
    throw error;
  }
}

async function file(storage: Storage, named: Named, path: string): Promise<StageStatus> {
  const listed = await storage.list(folderOf(absolutePath(path)));
  const isThere = listed.some((one) => absolutePath(one) === absolutePath(path));
  return { ...named, state: isThere ? 'done' : 'waiting' };
}

/** When a local file was written last, in milliseconds; null where there is none. */
const writtenAt = (path: string): Promise<number | null> =>
  stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  );

interface TrainSteps {
  readonly batch?: { readonly steps?: number | undefined } | undefined;
}

/**
 * How far a training run is, by the last line of its metrics; null where none has begun.
 * @param settings of the stage, for the steps it is to take
 * @throws TokensieveError (input) `bad-metrics`
 */
export async function trainingStatus(
  { batch }: TrainSteps,
  folder: string,
): Promise<{ readonly training: TrainingStatus | null; readonly state: StageState }> {
  // Training writes to local disk alone.
  if (isUrl(folder)) return { training: null, state: 'waiting' };
  const written = await writtenAt(join(folder, METRICS_FILE));
  const found = written === null ? null : await inspectTraining(folder);
  const isFresh = written !== null && Date.now() - written < SILENT_MS;
  // Until the first checkpoint there is nothing that a resumed run would go on from.
  if (found === null) return { training: null, state: isFresh ? 'at work' : 'waiting' };
  const total = batch?.steps ?? null;
  const done = found.last?.step ?? 0;
  const newest = Number(found.checkpoints[0]?.replace('step-', '') ?? 0);
  // Where only the data tells how many steps there are, the report does, which a run writes when it has taken them all.
  const reported = await writtenAt(join(folder, REPORT_FILE));
  const isDone =
    total === null ? newest === done && reported !== null && reported >= (written ?? 0) : newest >= total;
  // A folder of weights is what the next stage opens.
  const isPublished = (await writtenAt(join(folder, MODEL_FOLDER))) !== null;
  const state = isDone && isPublished ? 'done' : isFresh ? 'at work' : 'begun';
  const rate = state === 'at work' ? (found.last?.tokens_per_second ?? null) : null;
  const perStep = done > 0 ? (found.last?.tokens ?? 0) / done : 0;
  return {
    state,
    training: {
      steps: { done, total },
      tokens: found.last?.tokens ?? 0,
      loss: found.last?.loss_selected ?? null,
      held_out: found.heldOut?.losses ?? null,
      tokens_per_second: rate,
      seconds_left:
        state === 'done' ? 0 : rate === null || total === null ? null : ((total - done) * perStep) / rate,
      checkpoints: found.checkpoints.length,
    },
  };
}
