import { expandShards } from '../corpus/expand.js';
import { scoredFolder } from '../dataset/part-files.js';
import { type RunNotes, writeRunNotes } from '../dataset/run-notes.js';
import { chooseDevice } from '../device/device.js';
import { locatedError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import { forwardFlops } from '../model/forward-flops.js';
import type { ModelInfo } from '../model/prepared-model.js';
import type { RowStage } from '../pack/make-part.js';
import { type OpenRows, type PartsReport, type Rows, rowsJob, runRows } from '../pack/rows-job.js';
import { tellTokenizer } from '../pack/tell-tokenizer.js';
import type { PartsOptions } from '../parts/parts-job.js';
import { type RunRules, rulesOfNewRun } from '../rules/new-run.js';
import { notedRules } from '../rules/noted.js';
import { scoredColumns, toSequenceBatch } from './columns.js';
import { isEngineModel } from './engine-models.js';
import type { ModelInputs } from './open-inputs.js';
import { openModels } from './open-models.js';
import { recipeOf, scoringConventions } from './recipe.js';
import type { ModelRole } from './role.js';
import type { Scorer } from './scorer.js';
import type { Scoring } from './settings.js';
import { type ScoringRules, scoreSequences } from './stage.js';

export type ScoreOptions = PartsOptions;
export type ScoreReport = PartsReport;

/**
 * Scores a corpus: every part that has no matching manifest is read, scored and committed. Running it again
 * after any interruption finishes the rest; the files are the same bytes for any number of workers.
 * @throws TokensieveError usage errors of the inputs; `stale-parts`, `shard-changed` and `folder-busy` (usage); fatal errors of
 *   models and disk
 */
export async function scoreCorpus(pipeline: Scoring, options: ScoreOptions): Promise<ScoreReport> {
  const started = Date.now();
  const report = await runRows(await openScoring(pipeline, options), options);
  return { ...report, seconds: (Date.now() - started) / 1000 };
}

/**
 * A scoring run, opened: its shards found, its tokenizer and models read. Sessions open with the first part.
 * @throws TokensieveError usage errors of the inputs
 */
export async function openScoring(
  pipeline: Scoring,
  { storage, sink }: Pick<ScoreOptions, 'storage' | 'sink'>,
): Promise<OpenRows> {
  const notes: string[] = [];
  const shards = await expandShards(storage, pipeline.shards, (note) => notes.push(note));
  const { device, why } = chooseDevice(pipeline.score.device);
  sink({ event: 'note', message: why });
  const inputs = await openModels(pipeline, device);
  const { tokenizer, roles, compute } = inputs;
  tellTokenizer(tokenizer, sink);
  if (compute.note !== null) sink({ event: 'note', message: compute.note });
  for (const message of inputs.warnings) sink({ event: 'warning', message });
  const { sequence, score, run } = pipeline;
  const rules: ScoringRules = {
    ...inputs.batchRules(sequence, sequence.packing === 'packed' ? 1 : undefined),
    roles,
    entropy: score.entropy,
  };
  const { versions, changes, before } = await rulesOf(pipeline, inputs);
  let opened = 0;
  const rows: Rows = {
    kind: 'scored',
    folder: scoredFolder(pipeline.out),
    settings: pipeline,
    shards,
    notes,
    tokenizer,
    recipe: recipeOf(pipeline, {
      tokenizer,
      models: infosOf(inputs),
      compute,
      engines: engineProfiles(inputs),
      versions,
      unused: before,
    }),
    changes,
    conventions: scoringConventions(pipeline, tokenizer),
    columns: scoredColumns(roles, score.entropy),
    lossPrecision: score.loss_precision,
    compression: score.compression,
    workers: run.workers,
    async open(lanes) {
      const card = opened++ % compute.cards;
      const inTurns = run.models_on_card === 'turns';
      const scorer = await inputs.openScorer({ lanes, threads: run.threads, card, inTurns });
      return scoringStage(scorer, rules, inputs.look);
    },
    async finish() {
      const rules = await notedRules(storage, pipeline.out, 'scored');
      const notes = runNotes(pipeline, inputs);
      await writeRunNotes(storage, pipeline.out, { ...notes, ...(rules !== null && { rules }) });
    },
  };
  return { rows, job: rowsJob(rows, storage), close: () => inputs.close() };
}

const rulesOf = (
  pipeline: Scoring,
  { tokenizer, tokenizerPath, models, roles }: ModelInputs,
): Promise<RunRules> =>
  rulesOfNewRun({
    tokenizer: tokenizerPath,
    controlTokens: pipeline.tokenizer.control_tokens,
    sequence: pipeline.sequence,
    marks: tokenizer,
    keep: pipeline.corpus.keep,
    models: roles.flatMap((role) => {
      const folder = models[role]?.info.folder;
      return folder === undefined ? [] : [{ role, folder }];
    }),
  });

/** What decides the last bits of the models that engines compute. */
function engineProfiles({ models, roles }: ModelInputs): Partial<Record<ModelRole, JsonObject>> {
  return Object.fromEntries(
    roles.flatMap((role) => {
      const model = models[role];
      return isEngineModel(model) ? [[role, model.profile]] : [];
    }),
  );
}

/** What the models are, without their graphs. */
export function infosOf({
  models,
}: Pick<ModelInputs, 'models'>): Readonly<Partial<Record<ModelRole, ModelInfo>>> {
  return {
    ...(models.reference && { reference: models.reference.info }),
    ...(models.current && { current: models.current.info }),
  };
}

/** Where the inputs were, for reports; written when all parts are done. */
function runNotes(pipeline: Scoring, { tokenizerPath, models, roles }: ModelInputs): RunNotes {
  return {
    version: 1,
    shards: [...pipeline.shards],
    tokenizer: tokenizerPath,
    models: roles.flatMap((role) => {
      const info = models[role]?.info;
      if (info === undefined) return [];
      return {
        role,
        folder: info.folder,
        hash: info.hash,
        architecture: info.architecture,
        parameters: info.parameters,
        weight_type: info.weightType,
        flops_per_token: forwardFlops(info, pipeline.sequence.length),
      };
    }),
  };
}

/** Rows to losses. Errors of the models name the part they came up in. */
function scoringStage(scorer: Scorer, rules: ScoringRules, look: () => Promise<void>): RowStage {
  return {
    look,
    async *batches(sequences, place) {
      const score: Scorer['score'] = (batch) =>
        scorer.score(batch).catch(async (error: unknown) => {
          // Weights that change under a session give losses that are no numbers, too.
          await look();
          throw locatedError(place, error);
        });
      for await (const group of scoreSequences(sequences, { score }, rules)) {
        yield toSequenceBatch(group, rules.roles, rules.entropy);
      }
    },
    close: () => scorer.close(),
  };
}
