/**
 * What the stages of a pipeline cost, from sizes alone: a forward pass is 2·N floating-point operations a token, a
 * training step 6·N (forward, and backward at twice that; Kaplan et al. 2020), for N parameters. Attention's own
 * part is left out, and so are held-out measurements. Pure.
 */
import type { Stage, StageKind, StageOf, StageSettings } from '../pipeline/stages.js';
import { joinPath, normalPath } from '../storage/path.js';
import { modelFolder } from '../train/publish-model.js';
import type { TrainSettings } from '../train/settings.js';

/** Sizes that no stage tells. Null where nothing is known. */
export interface StageFacts {
  /** Parameters of a checkpoint folder or of a config.json. */
  parameters(path: string): number | null;
  /** Tokens of shards, as the tokenizer cuts them. */
  shardTokens(shards: readonly string[]): number | null;
  /** Tokens, and ids a row, of a folder of token files that lies there already. */
  rows(folder: string): PlannedRows | null;
}

export interface PlannedRows {
  readonly tokens: number | null;
  /** Ids a row. */
  readonly length: number | null;
}

export interface StageCost {
  readonly name: string;
  readonly kind: StageKind;
  /** Tokens trained on, scored or written; null where they are not known. */
  readonly tokens: number | null;
  /** Floating-point operations; null where tokens or the model's size are not known. */
  readonly flops: number | null;
  /** What is missing for the figures above. */
  readonly unknown: readonly string[];
}

/** What earlier stages leave for later ones, by path. */
interface Made {
  readonly parameters: Map<string, number>;
  readonly rows: Map<string, PlannedRows>;
}

/** The cost of each stage, in order. What a stage makes is known to those after it, though it is not there yet. */
export function planStages(stages: readonly Stage[], facts: StageFacts): StageCost[] {
  const made: Made = { parameters: new Map(), rows: new Map() };
  return stages.map((stage) => ({ name: stage.name, kind: stage.kind, ...costOf(stage, facts, made) }));
}

type Cost = Pick<StageCost, 'tokens' | 'flops' | 'unknown'>;
type Planner<K extends StageKind> = (settings: StageSettings[K], facts: StageFacts, made: Made) => Cost;

const PLANNERS: { readonly [K in StageKind]: Planner<K> } = {
  pack: ({ shards, out, sequence }, facts, made) => {
    const tokens = facts.shardTokens(shards);
    made.rows.set(out, { tokens, length: sequence.length });
    return cost({ tokens, inputs: shards, models: [], factor: 0 }, facts, made);
  },
  train: trainCost,
  score: (settings, facts, made) => {
    const { shards, out, sequence, reference, current } = settings;
    const tokens = facts.shardTokens(shards);
    made.rows.set(out, { tokens, length: sequence.length });
    const models = [reference, current].filter((path) => path !== undefined);
    return cost({ tokens, inputs: shards, models, factor: 2 }, facts, made);
  },
  select: ({ run, out }, facts, made) => {
    const rows = rowsAt(run, facts, made);
    if (rows !== null) made.rows.set(out ?? joinPath(run, 'weighted'), rows);
    return { tokens: rows?.tokens ?? null, flops: 0, unknown: rows === null ? [`tokens of ${run}`] : [] };
  },
  // Held-out sets are small beside a corpus; their tokens are not counted.
  eval: () => ({ tokens: null, flops: 0, unknown: [] }),
  report: () => ({ tokens: null, flops: 0, unknown: [] }),
  // Reads losses; no model runs.
  audit: ({ run }, facts, made) => ({
    tokens: rowsAt(run, facts, made)?.tokens ?? null,
    flops: 0,
    unknown: [],
  }),
  // Losses come from elsewhere; no model runs.
  import: ({ run, out }, facts, made) => {
    const rows = rowsAt(run, facts, made);
    if (rows !== null) made.rows.set(out, rows);
    return { tokens: rows?.tokens ?? null, flops: 0, unknown: rows === null ? [`tokens of ${run}`] : [] };
  },
  export: ({ run }, facts, made) => ({
    tokens: rowsAt(run, facts, made)?.tokens ?? null,
    flops: 0,
    unknown: [],
  }),
};

function costOf<K extends StageKind>(stage: StageOf<K>, facts: StageFacts, made: Made): Cost {
  return PLANNERS[stage.kind](stage.settings, facts, made);
}

function trainCost(settings: TrainSettings, facts: StageFacts, made: Made): Cost {
  const { model, data, batch, loss, out } = settings;
  const paths = data.sources.map(({ path }) => path);
  const start = model.start ?? model.config ?? '';
  const parameters = parametersAt(start, facts, made);
  if (parameters !== null) {
    made.parameters.set(modelFolder(out), parameters);
  }
  // Ranking a whole step that comes in several micro-batches, or ahead of it, takes a forward pass of its own.
  const ranksFirst =
    loss.kind === 'slm' &&
    (loss.selection === 'refresh' ||
      (loss.selection === 'live' && loss.scope === 'step' && batch.accumulate > 1));
  const rows = data.sources.map(({ path, ratio }) => ({ ratio, rows: rowsAt(path, facts, made) }));
  const passes = { inputs: paths, models: [start], factor: ranksFirst ? 8 : 6 };
  return cost({ tokens: trainingTokens(batch, rows), ...passes }, facts, made);
}

/** Tokens of a training run; null where it follows from data that is not known. */
function trainingTokens(
  { steps, tokens, epochs, rows, accumulate }: TrainSettings['batch'],
  sources: readonly { readonly ratio: number; readonly rows: PlannedRows | null }[],
): number | null {
  const lengths = sources.flatMap((source) => source.rows?.length ?? []);
  // A row's first id is context only.
  const perStep = lengths.length === 0 ? null : rows * accumulate * (Math.max(...lengths) - 1);
  if (tokens !== undefined) return perStep === null ? tokens : Math.ceil(tokens / perStep) * perStep;
  if (steps !== undefined) return perStep === null ? null : steps * perStep;
  if (epochs === undefined) return null;
  const ratios = sources.reduce((sum, { ratio }) => sum + ratio, 0);
  const wholes = sources.flatMap(({ ratio, rows }) =>
    rows?.tokens == null ? [] : [(rows.tokens / ratio) * ratios],
  );
  // The source that ends last sets the length.
  return wholes.length < sources.length ? null : epochs * Math.max(...wholes);
}

/** Tokens of the inputs that go through models. */
interface Passes {
  readonly tokens: number | null;
  readonly inputs: readonly string[];
  readonly models: readonly string[];
  /** Floating-point operations a parameter and token. */
  readonly factor: number;
}

/** `factor` · parameters · tokens, summed over models. */
function cost({ tokens, inputs, models, factor }: Passes, facts: StageFacts, made: Made): Cost {
  const sizes = models.map((path) => parametersAt(path, facts, made));
  const unknown = [
    ...(tokens === null ? [`tokens of ${inputs.join(', ')}`] : []),
    ...models.filter((_, i) => sizes[i] === null).map((path) => `parameters of ${path}`),
  ];
  const parameters = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
  return {
    tokens,
    flops: tokens === null || unknown.length > 0 ? null : factor * parameters * tokens,
    unknown,
  };
}

const parametersAt = (path: string, facts: StageFacts, made: Made): number | null =>
  made.parameters.get(normalPath(path)) ?? facts.parameters(path);

/** Rows of a run's folder, or of the folder of token files within it. */
function rowsAt(path: string, facts: StageFacts, made: Made): PlannedRows | null {
  for (const [folder, rows] of made.rows) {
    const names = [normalPath(folder), ...TOKEN_FOLDERS.map((name) => joinPath(folder, name))];
    if (names.includes(normalPath(path))) return rows;
  }
  return facts.rows(path);
}

/** Folders of token files within a run. */
const TOKEN_FOLDERS = ['packed', 'scored', 'weighted'];
