/** Stages that are made of parts: how each is opened, for whoever makes its parts one by one. */
import { weightedFolder } from '../dataset/part-files.js';
import type { AnyManifest } from '../parts/manifests.js';
import { type NamedParts, namedParts } from '../parts/named-parts.js';
import type { Lane, OpenOptions, PartsJob } from '../parts/parts-job.js';
import type { Stage, StageOf, StageSettings } from './stages.js';

export type PartsKind = 'pack' | 'score' | 'select' | 'import' | 'export';

interface Opened<Task, L extends Lane, M extends AnyManifest, Kept> {
  readonly job: PartsJob<Task, L, M, Kept>;
  close(): Promise<void>;
}

/** Puts together a job and what closes it, whatever its tasks are. */
function named<Task, L extends Lane, M extends AnyManifest, Kept>(
  { job, close }: Opened<Task, L, M, Kept>,
  lanes: number,
): NamedParts {
  const parts = namedParts(job, lanes);
  return {
    ...parts,
    async close() {
      await parts.close();
      await close();
    },
  };
}

/** What it runs on is loaded when it is opened. */
const OPENERS: {
  readonly [K in PartsKind]: (
    settings: StageSettings[K],
    options: OpenOptions,
    lanes: number,
  ) => Promise<NamedParts>;
} = {
  pack: async (settings, options, lanes) =>
    named(await (await import('../pack/pack-run.js')).openPacking(settings, options), lanes),
  score: async (settings, options, lanes) =>
    named(await (await import('../score/score-run.js')).openScoring(settings, options), lanes),
  select: async ({ run, out = weightedFolder(run), ...settings }, options, lanes) =>
    named(await (await import('../select/select-run.js')).openSelecting(run, out, settings, options), lanes),
  import: async (settings, options, lanes) =>
    named(await (await import('../import/import-run.js')).openImporting(settings, options), lanes),
  export: async (settings, options, lanes) =>
    named(await (await import('../export/export-run.js')).openExporting(settings, options), lanes),
};

/** Kinds that are made of parts, in words. */
export const OF_PARTS = Object.keys(OPENERS)
  .join(', ')
  .replace(/, ([^,]*)$/, ' or $1');

export type StageOfParts = { readonly [K in PartsKind]: StageOf<K> }[PartsKind];

export const isPartsKind = (kind: string): kind is PartsKind => Object.hasOwn(OPENERS, kind);

/** Whether the stage is made of parts, so that many processes can share it. The others run once. */
export const isOfParts = (stage: Stage): stage is StageOfParts => isPartsKind(stage.kind);

/**
 * Opens a stage that is made of parts.
 * @param lanes parts in work at once in this process
 * @throws TokensieveError usage errors of its inputs
 */
export const openParts = <K extends PartsKind>(
  { kind, settings }: StageOf<K>,
  options: OpenOptions,
  lanes: number,
): Promise<NamedParts> => OPENERS[kind](settings, options, lanes);
