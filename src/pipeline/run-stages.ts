import type { WrittenAudit } from '../audit/audit-to.js';
import { packedFolder, scoredFolder, weightedFolder } from '../dataset/part-files.js';
import { usageError } from '../errors.js';
import type { EvaluationReport } from '../evaluate/report.js';
import type { ExportReport } from '../export/export-run.js';
import type { ImportReport } from '../import/import-run.js';
import type { PackReport } from '../pack/pack-run.js';
import type { PartsReport } from '../pack/rows-job.js';
import type { EventSink } from '../parts/events.js';
import type { Share } from '../parts/share.js';
import type { NamedPath, WrittenReport } from '../report/write-report.js';
import type { ScoreReport } from '../score/score-run.js';
import type { SelectReport } from '../select/select-run.js';
import { absolutePath, joinPath, pathBelow } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { TrainSink } from '../train/events.js';
import type { TrainReport } from '../train/train-run.js';
import { isOfParts, OF_PARTS } from './open-parts.js';
import type { Stage, StageKind, StageOf, StageSettings } from './stages.js';

/** What a stage of each kind tells when it is done. */
export interface StageReports {
  readonly pack: PackReport;
  readonly train: TrainReport;
  readonly score: ScoreReport;
  readonly select: SelectReport;
  readonly eval: EvaluationReport;
  readonly report: WrittenReport;
  readonly audit: WrittenAudit;
  readonly export: ExportReport;
  readonly import: ImportReport;
}

export interface StageSinks {
  readonly sink: EventSink;
  /** Training has events of its own. */
  readonly trainSink: TrainSink;
}

export interface StageOptions {
  readonly storage: Storage;
  /** Called before each stage: where its events go. */
  readonly open: (stage: Stage) => StageSinks;
  readonly signal: AbortSignal;
  /** Redo parts that were made with other settings, instead of refusing. */
  readonly replace: boolean;
  /** Of stages made of parts: do one share of them alone. */
  readonly share?: Share | undefined;
}

export type FinishedStage = {
  readonly [K in StageKind]: {
    readonly name: string;
    readonly kind: K;
    readonly report: StageReports[K];
    readonly seconds: number;
  };
}[StageKind];

interface Context extends Omit<StageOptions, 'open'>, StageSinks {
  readonly files: readonly NamedPath[];
}

/** Every kind of stage: how it runs, and what it leaves where. What it runs on is loaded when it runs. */
const RUNNERS: {
  readonly [K in StageKind]: {
    run(settings: StageSettings[K], context: Context): Promise<StageReports[K]>;
    readonly what: string;
    path(settings: StageSettings[K]): string;
  };
} = {
  pack: {
    run: async (...args) =>
      tellNotes(await (await import('../pack/pack-run.js')).packCorpus(...args), args[1]),
    what: 'token files',
    path: ({ out }) => packedFolder(out),
  },
  train: {
    run: async (settings, { trainSink, ...context }) =>
      (await import('../train/train-run.js')).trainRun(settings, { ...context, sink: trainSink }),
    what: 'model/, checkpoints/, metrics.jsonl',
    path: ({ out }) => out,
  },
  score: {
    run: async (...args) =>
      tellNotes(await (await import('../score/score-run.js')).scoreCorpus(...args), args[1]),
    what: 'losses of every token',
    path: ({ out }) => scoredFolder(out),
  },
  select: {
    run: async ({ run, out, ...settings }, context) =>
      (await import('../select/select-run.js')).selectRun(run, out ?? weightedFolder(run), settings, context),
    what: 'the same with weights',
    path: ({ run, out }) => out ?? weightedFolder(run),
  },
  eval: {
    run: async (...args) => (await import('../evaluate/evaluate-to.js')).evaluateTo(...args),
    what: 'held-out losses with standard errors',
    path: ({ out }) => out,
  },
  report: {
    run: async (...args) => (await import('../report/write-report.js')).writeReport(...args),
    what: 'this report',
    path: ({ out }) => out,
  },
  audit: {
    run: async (...args) => (await import('../audit/audit-to.js')).auditTo(...args),
    what: 'report.html and audit.json: what was kept and dropped',
    path: ({ run, out }) => out ?? joinPath(run, 'audit'),
  },
  export: {
    run: async (...args) => (await import('../export/export-run.js')).exportRun(...args),
    what: 'tokens and weights for another trainer',
    path: ({ out }) => out,
  },
  import: {
    run: async (...args) => (await import('../import/import-run.js')).importScores(...args),
    what: 'losses computed elsewhere, with the rows they are of',
    path: ({ out }) => scoredFolder(out),
  },
};

function tellNotes<R extends PartsReport>(report: R, { sink }: Pick<Context, 'sink'>): R {
  for (const message of report.notes) sink({ event: 'note', message });
  return report;
}

/** What each stage leaves, for the list at a report's end. */
export const stageFiles = (stages: readonly Stage[]): NamedPath[] => stages.map((stage) => fileOf(stage));

function fileOf<K extends StageKind>({ kind, name, settings }: StageOf<K>): NamedPath {
  const { what, path } = RUNNERS[kind];
  return { name, what, path: path(settings) };
}

/** Which stages of a pipeline, by name. */
export interface StageChoice {
  readonly from?: string | undefined;
  /** The last one. */
  readonly to?: string | undefined;
  readonly only?: string | undefined;
}

/**
 * The stages that a command asks for: all, those from one on, those up to one, or one alone.
 * @throws TokensieveError (usage) `no-such-stage`; `no-stages` when the last one comes before the first
 */
export function chooseStages(stages: readonly Stage[], { from, to, only }: StageChoice): readonly Stage[] {
  const at = (name: string): number => {
    const index = stages.findIndex((stage) => stage.name === name);
    if (index !== -1) return index;
    throw usageError(
      'no-such-stage',
      `no stage is called ${name}; the stages are ${stages.map((stage) => stage.name).join(', ')}`,
    );
  };
  if (only !== undefined) return stages.slice(at(only), at(only) + 1);
  const first = from === undefined ? 0 : at(from);
  const last = to === undefined ? stages.length - 1 : at(to);
  if (last < first) {
    throw usageError('no-stages', `stage ${to} comes before ${from}: there is nothing from one to the other`);
  }
  return stages.slice(first, last + 1);
}

/**
 * The stages that the processes of an array share: those made of parts at the head of the chosen ones. None of them
 * reads what another makes, so that nobody waits. A stage after them needs all of their parts, which only the last
 * process to end would know of; it is run afterwards, once, without the array, or begins an array of its own.
 * @throws TokensieveError `not-of-parts` (usage) when the first stage runs once
 */
export function stagesOfArray(chosen: readonly Stage[]): readonly Stage[] {
  const shared: Stage[] = [];
  for (const stage of chosen) {
    if (!isOfParts(stage) || shared.some((before) => reads(stage, before))) break;
    shared.push(stage);
  }
  const [first] = chosen;
  if (shared.length === 0 && first !== undefined) {
    throw usageError(
      'not-of-parts',
      `stage ${first.name} (${first.kind}) is not made of parts that an array could share; run it once, without --executor array, and begin the array with a ${OF_PARTS} stage (--from)`,
    );
  }
  return shared;
}

/** Whether a stage reads what another writes: the run that it names, or a folder of it. */
function reads({ settings }: Stage, before: Stage): boolean {
  if (!('run' in settings) || typeof settings.run !== 'string') return false;
  const run = absolutePath(settings.run);
  const made = absolutePath(fileOf(before).path);
  return pathBelow(run, made) !== null || pathBelow(made, run) !== null || run === made;
}

/**
 * Runs stages in order, each as its command would: what a stage finds done by its own output (manifests, a run's last
 * checkpoint) it does not do again, so that the same pipeline goes on where it was stopped.
 * @param all the pipeline's stages, which a report lists · @param chosen those to run
 * @throws TokensieveError as the stages do
 */
export async function* runStages(
  all: readonly Stage[],
  chosen: readonly Stage[],
  options: StageOptions,
): AsyncGenerator<FinishedStage, void, undefined> {
  const { open, ...rest } = options;
  const files = stageFiles(all);
  for (const stage of chosen) {
    rest.signal.throwIfAborted();
    const began = performance.now();
    const report = await runStage(stage, { ...rest, ...open(stage), files });
    const seconds = (performance.now() - began) / 1000;
    yield { name: stage.name, kind: stage.kind, report, seconds } as FinishedStage;
  }
}

const runStage = <K extends StageKind>(
  { kind, settings }: StageOf<K>,
  context: Context,
): Promise<StageReports[K]> => RUNNERS[kind].run(settings, context);
