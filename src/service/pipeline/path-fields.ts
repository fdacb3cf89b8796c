/**
 * Which settings of a pipeline are paths, and of what kind. Everything that a request may make the command line open
 * passes through `mapPaths`; a test fails when a setting of the schemas is in neither list.
 */
import { join } from 'node:path';
import { weightedFolder } from '../../dataset/part-files.js';
import type { Pipeline } from '../../pipeline/settings.js';
import type { Stage, StageKind, StageSettings } from '../../pipeline/stages.js';
import type { RememberedSettings } from '../../texts/remembered.js';

/** What becomes of each kind of path. `field` names the setting in errors. */
export interface PathMapper {
  /** An existing file or folder, or what an earlier stage makes. */
  input(path: string, field: string): Promise<string>;
  /** Files, folders or globs of shards. */
  shards(patterns: readonly string[], field: string): Promise<string[]>;
  outputFolder(path: string, field: string): Promise<string>;
  outputFile(path: string, field: string): Promise<string>;
  /** What a run remembers of its text and tokenizer, as far as a request may name it. @param run as `input` gave it */
  remembered(run: string): Promise<NonNullable<RememberedSettings>>;
}

type Optional = string | undefined;
type Mapping<T> = (settings: T, to: PathMapper) => Promise<T>;

const optional = async (path: Optional, map: (path: string) => Promise<string>): Promise<Optional> =>
  path === undefined ? undefined : map(path);

const run: Mapping<Pipeline | StageSettings['score']> = async (settings, to) => {
  const { shards, reference, current, out, tokenizer } = settings;
  return {
    ...settings,
    shards: await to.shards(shards, 'shards'),
    reference: await optional(reference, (path) => to.input(path, 'reference')),
    current: await optional(current, (path) => to.input(path, 'current')),
    out: await to.outputFolder(out, 'out'),
    tokenizer: {
      ...tokenizer,
      path: await optional(tokenizer.path, (path) => to.input(path, 'tokenizer.path')),
    },
    run: {
      ...settings.run,
      cache: await optional(settings.run.cache, (path) => to.outputFolder(path, 'run.cache')),
    },
  };
};

const STAGES: { readonly [K in StageKind]: Mapping<StageSettings[K]> } = {
  score: run,
  pack: async (settings, to) => ({
    ...settings,
    shards: await to.shards(settings.shards, 'shards'),
    out: await to.outputFolder(settings.out, 'out'),
    tokenizer: { ...settings.tokenizer, path: await to.input(settings.tokenizer.path, 'tokenizer.path') },
  }),
  select: async (settings, to) => {
    const scored = await to.input(settings.run, 'run');
    const out = settings.out === undefined ? weightedFolder(scored) : settings.out;
    return { ...settings, run: scored, out: await to.outputFolder(out, 'out') };
  },
  train: async (settings, to) => {
    const { model, data, held_out, out } = settings;
    return {
      ...settings,
      out: await to.outputFolder(out, 'out'),
      model: {
        ...model,
        start: await optional(model.start, (path) => to.input(path, 'model.start')),
        config: await optional(model.config, (path) => to.input(path, 'model.config')),
        tokenizer: await optional(model.tokenizer, (path) => to.input(path, 'model.tokenizer')),
      },
      data: {
        ...data,
        sources: await each(data.sources, async (source) => ({
          ...source,
          path: await to.input(source.path, 'data.sources'),
        })),
      },
      held_out: {
        ...held_out,
        sources: await eachValue(held_out.sources, (path) => to.input(path, 'held_out.sources')),
      },
    };
  },
  eval: async (settings, to) => ({
    ...settings,
    model: await to.input(settings.model, 'model'),
    held_out: await eachValue(settings.held_out, (patterns) => to.shards(patterns, 'held_out')),
    task_data: await optional(settings.task_data, (path) => to.input(path, 'task_data')),
    tokenizer: {
      ...settings.tokenizer,
      path: await optional(settings.tokenizer.path, (path) => to.input(path, 'tokenizer.path')),
    },
    run: {
      ...settings.run,
      cache: await optional(settings.run.cache, (path) => to.outputFolder(path, 'run.cache')),
    },
    out: await to.outputFile(settings.out, 'out'),
  }),
  report: async (settings, to) => ({
    ...settings,
    out: await to.outputFile(settings.out, 'out'),
    arms: await eachValue(settings.arms, (runs) => each(runs, (path) => to.input(path, 'arms'))),
    start: await optional(settings.start, (path) => to.input(path, 'start')),
    evaluations: await each(settings.evaluations, (path) => to.input(path, 'evaluations')),
  }),
  audit: async (settings, to) => {
    const { shards, overlap, dynamics } = settings;
    const audited = await to.input(settings.run, 'run');
    return {
      ...settings,
      run: audited,
      weighted: await optional(settings.weighted, (path) => to.input(path, 'weighted')),
      out: await to.outputFolder(settings.out ?? join(audited, 'audit'), 'out'),
      shards: shards && (await to.shards(shards, 'shards')),
      tokenizer: await optional(settings.tokenizer, (path) => to.input(path, 'tokenizer')),
      remembered: await to.remembered(audited),
      dynamics: dynamics && (await each(dynamics, (path) => to.input(path, 'dynamics'))),
      overlap: overlap && {
        ...overlap,
        reference: await to.shards(overlap.reference, 'overlap.reference'),
        evaluation: await eachValue(overlap.evaluation, (patterns) =>
          to.shards(patterns, 'overlap.evaluation'),
        ),
      },
      compare: await optional(settings.compare, (path) => to.input(path, 'compare')),
    };
  },
  import: async (settings, to) => ({
    ...settings,
    run: await to.input(settings.run, 'run'),
    losses: await to.shards(settings.losses, 'losses'),
    out: await to.outputFolder(settings.out, 'out'),
  }),
  export: async (settings, to) => {
    const exported = await to.input(settings.run, 'run');
    return {
      ...settings,
      run: exported,
      out: await to.outputFolder(settings.out, 'out'),
      shards: settings.shards && (await to.shards(settings.shards, 'shards')),
      tokenizer: await optional(settings.tokenizer, (path) => to.input(path, 'tokenizer')),
      remembered: await to.remembered(exported),
    };
  },
};

/** The paths that a stage writes to, as they are given. */
export function outputsOf({ kind, settings }: Stage): readonly string[] {
  const out = settings.out === undefined ? [] : [settings.out];
  const cache = kind === 'score' || kind === 'eval' ? settings.run.cache : undefined;
  return cache === undefined ? out : [...out, cache];
}

/** The paths that a single run writes to, as they are given. */
export const runOutputs = ({ out, run: { cache } }: Pipeline): readonly string[] =>
  cache === undefined ? [out] : [out, cache];

/** A single run with every path mapped. */
export const mapRunPaths = (pipeline: Pipeline, to: PathMapper): Promise<Pipeline> =>
  run(pipeline, to) as Promise<Pipeline>;

/** A stage with every path mapped. */
export async function mapStagePaths(stage: Stage, to: PathMapper): Promise<Stage> {
  const map = STAGES[stage.kind] as Mapping<Stage['settings']>;
  return { ...stage, settings: await map(stage.settings, to) } as Stage;
}

/** In order, not at once: errors then name the first wrong field. */
async function each<T, U>(values: readonly T[], map: (value: T) => Promise<U>): Promise<U[]> {
  const mapped: U[] = [];
  for (const value of values) mapped.push(await map(value));
  return mapped;
}

async function eachValue<T, U>(
  record: Readonly<Record<string, T>>,
  map: (value: T) => Promise<U>,
): Promise<Record<string, U>> {
  const entries = await each(
    Object.entries(record),
    async ([key, value]) => [key, await map(value)] as const,
  );
  return Object.fromEntries(entries);
}
