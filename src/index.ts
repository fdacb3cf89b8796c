/**
 * tokensieve as a library: what the command does, call by call; docs/library.md says what each is for. Everything listed
 * here is kept stable within a major version; what is not listed is the package's own and cannot be imported.
 *
 * ```ts
 * import { localStorage, parsePipeline, scoreCorpus, selectRun, weightedFolder } from 'tokensieve';
 *
 * const pipeline = parsePipeline({ shards: ['shards/*.parquet'], reference: 'models/ref', current: 'models/base', out: 'runs/one' }, 'my job');
 * const options = { storage: localStorage(), sink: console.log, signal: new AbortController().signal, replace: false };
 * await scoreCorpus(pipeline, options);
 * ```
 *
 * Errors are `TokensieveError`s: `reach` says how far they go, `code` is stable, `message` is one line.
 * @module
 */

// Settings: what a pipeline file holds, checked and with defaults.

export type { AuditInput, AuditSettings } from './audit/settings.js';
export { auditSettings } from './audit/settings.js';
export type { Settings } from './config/load.js';
export { readPipelineFile } from './config/load.js';
export type { EvaluateInput, EvaluateSettings } from './evaluate/settings.js';
export { evaluateSettings } from './evaluate/settings.js';
export type { ExportInput, ExportSettings } from './export/settings.js';
export { parseExport } from './export/settings.js';
export type { ImportInput, ImportSettings } from './import/settings.js';
export { parseImport } from './import/settings.js';
export type { PackInput, PackSettings } from './pack/settings.js';
export { parsePack } from './pack/settings.js';
export type { Pipeline, PipelineInput } from './pipeline/settings.js';
export { parsePipeline } from './pipeline/settings.js';
export type { StagedPipeline } from './pipeline/stages.js';
export { isStaged, parseStages } from './pipeline/stages.js';
export type { SelectionInput, SelectionSettings } from './select/settings.js';
export { selectionSettings } from './select/settings.js';
export type { TrainInput, TrainSettings } from './train/settings.js';
export { trainSchema } from './train/settings.js';

// Runs: a function for each command that reads or writes data.

export type { WrittenAudit } from './audit/audit-to.js';
export { auditTo } from './audit/audit-to.js';
export type { CompareRunsOptions } from './audit/compare/compare-runs.js';
export { compareRuns } from './audit/compare/compare-runs.js';
export type { TokenDynamicsOptions } from './audit/compare/dynamics.js';
export { tokenDynamics } from './audit/compare/dynamics.js';
export type { OverlapOptions, OverlapSources } from './audit/compare/overlap.js';
export { ngramOverlap } from './audit/compare/overlap.js';
export type { DiffReport, RunFolder } from './dataset/diff.js';
export { diffRuns } from './dataset/diff.js';
export type { VerifyOptions, VerifyReport } from './dataset/verify.js';
export { verifyFolder } from './dataset/verify.js';
export type { EvaluateOptions, HeldOutSettings } from './evaluate/evaluate.js';
export { evaluate, evaluateHeldOut } from './evaluate/evaluate.js';
export type { EvaluationReport } from './evaluate/report.js';
export type { ExportOptions, ExportReport } from './export/export-run.js';
export { exportRun } from './export/export-run.js';
export { verifyExport } from './export/verify.js';
export type { ImportReport } from './import/import-run.js';
export { importScores } from './import/import-run.js';
export type { InspectOptions } from './inspect/inspect.js';
export { inspect } from './inspect/inspect.js';
export type { Inspection } from './inspect/inspection.js';
export type { PackReport } from './pack/pack-run.js';
export { packCorpus } from './pack/pack-run.js';
export type { EventSink, RunEvent } from './parts/events.js';
export type { StageOptions, StageReports } from './pipeline/run-stages.js';
export { runStages } from './pipeline/run-stages.js';
export type { PlanOptions, RunPlan } from './plan/plan-run.js';
export { planRun } from './plan/plan-run.js';
export type { ScoreOptions, ScoreReport } from './score/score-run.js';
export { scoreCorpus } from './score/score-run.js';
export type { SelectOptions, SelectReport } from './select/select-run.js';
export { selectRun } from './select/select-run.js';
export type { TrainOptions } from './train/options.js';
export type { TrainReport } from './train/train-run.js';
export { trainRun } from './train/train-run.js';

// Files: what runs leave, read back.

export type { DocumentFile, DocumentRecord } from './dataset/documents.js';
export { readDocuments } from './dataset/documents.js';
export type { Manifest } from './dataset/manifest.js';
export { readManifest } from './dataset/manifest.js';
export { packedFolder, scoredFolder, weightedFolder } from './dataset/part-files.js';
export type { SequenceFile } from './dataset/reader.js';
export { readSequences } from './dataset/reader.js';
export type { SegmentColumns, SequenceBatch, TokenColumn } from './dataset/sequence-batch.js';
export { readMetrics } from './train/metrics.js';
export type { StepMetrics } from './train/step-metrics.js';

// Selection over losses in memory. A method of one’s own is an object of type Method.

export { selectiveLoss } from './select/loss.js';
export type {
  Method,
  Plan,
  Ranked,
  Ranking,
  ScoreKernel,
  TokenPlan,
  UnitPlan,
  WeightKernel,
} from './select/method.js';
export { METHODS, methodNamed } from './select/methods.js';
export type { PartSource } from './select/part-source.js';
export type { Prepared } from './select/preparation.js';
export type { Selection, Weighing } from './select/selection.js';
export { createSelection } from './select/selection.js';
export type { Tokens } from './select/tokens.js';

// Models and tokenizers by their folders.

export { describeModel, prepareModel } from './model/prepare.js';
export type { GraphSettings, ModelInfo, PreparedModel } from './model/prepared-model.js';
export { sessionOptions } from './model/session-options.js';
export type { OpenedTokenizer, TokenizerSource } from './tokenizer/open.js';
export { openTokenizer } from './tokenizer/open.js';

// Where bytes come from and go to, and what can go wrong.

export type { Reach } from './errors.js';
export { TokensieveError } from './errors.js';
export { localStorage } from './storage/local.js';
export type { RoutedOptions } from './storage/routed.js';
export { routedStorage } from './storage/routed.js';
export type { Storage } from './storage/storage.js';
