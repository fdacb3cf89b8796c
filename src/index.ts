/**
 * tokensieve as a library: what the command does, call by call. Everything listed here is kept stable within a
 * major version; what is not listed is the package's own and cannot be imported.
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

// What a run kept and dropped, and how it compares.
export type { AuditOptions } from './audit/audit-run.js';
export type { WrittenAudit } from './audit/audit-to.js';
export { auditTo } from './audit/audit-to.js';
export type { CompareRunsOptions } from './audit/compare/compare-runs.js';
export { compareRuns } from './audit/compare/compare-runs.js';
export type { Comparison } from './audit/compare/comparison-report.js';
export type { TokenDynamicsOptions } from './audit/compare/dynamics.js';
export { tokenDynamics } from './audit/compare/dynamics.js';
export type { Dynamics } from './audit/compare/dynamics-report.js';
export type { OverlapOptions, OverlapSources } from './audit/compare/overlap.js';
export { ngramOverlap } from './audit/compare/overlap.js';
export type { Overlap } from './audit/compare/overlap-report.js';
export type { Audit } from './audit/report.js';
export { auditSchema } from './audit/report.js';
export type { AuditInput, AuditSettings } from './audit/settings.js';
export { auditSettings } from './audit/settings.js';
// Pipelines: the settings of a run.
export type { Settings } from './config/load.js';
export { mergeSettings, readPipelineFile } from './config/load.js';
// Shards and their documents.
export type { CorpusRow, Document, Quarantined, QuarantineReason } from './corpus/document.js';
export { expandShards } from './corpus/expand.js';
export { planShard, readShard } from './corpus/read-shard.js';
export type {
  ColumnMapping,
  PartPlan,
  PartReading,
  ReadOptions,
  Shard,
  ShardFormat,
  ShardPlan,
} from './corpus/shard.js';
// The files: reading, checking, comparing.
export type { DiffReport, RunFolder } from './dataset/diff.js';
export { diffRuns, formatDiff } from './dataset/diff.js';
export type { DocumentFile, DocumentRecord } from './dataset/documents.js';
export { readDocuments } from './dataset/documents.js';
export type { Histogram } from './dataset/histogram.js';
export type { Manifest } from './dataset/manifest.js';
export { manifestSchema, readManifest } from './dataset/manifest.js';
export { packedFolder, scoredFolder, weightedFolder } from './dataset/part-files.js';
export type { SequenceFile } from './dataset/reader.js';
export { readSequences } from './dataset/reader.js';
export type { SegmentColumns, SequenceBatch, TokenColumn } from './dataset/sequence-batch.js';
export type { Finding, VerifyOptions, VerifyReport } from './dataset/verify.js';
export { verifyFolder } from './dataset/verify.js';
// What can go wrong.
export type { Reach } from './errors.js';
export { TokensieveError } from './errors.js';
// How good a model is: held-out loss, tasks by likelihood.
export type { Estimate, LossSummary } from './evaluate/estimate.js';
export type { EvaluateOptions, HeldOutSettings } from './evaluate/evaluate.js';
export { evaluate, evaluateHeldOut } from './evaluate/evaluate.js';
export type { HeldOutSet } from './evaluate/held-out.js';
export type { EvaluationReport, HeldOutRecord, LossRecord } from './evaluate/report.js';
export type { EvaluateInput, EvaluateSettings } from './evaluate/settings.js';
export { evaluateSettings } from './evaluate/settings.js';
// Other trainers' formats.
export type { ExportOptions, ExportReport } from './export/export-run.js';
export { exportRun } from './export/export-run.js';
export type {
  ExportContext,
  ExportCounts,
  ExportFormat,
  FinishedExport,
  OutputFile,
  ShardContext,
  ShardWriter,
} from './export/format.js';
export { FORMATS } from './export/formats.js';
export type { ExportIndex, ExportManifest } from './export/manifest.js';
export {
  exportIndexSchema,
  exportManifestSchema,
  readExportIndex,
  readExportManifest,
} from './export/manifest.js';
export type { ExportRows, TokenStream } from './export/rows.js';
export { tokenStreams } from './export/rows.js';
export type { ExportInput, ExportSettings, FormatName } from './export/settings.js';
export { exportSchema, parseExport } from './export/settings.js';
export type { ExportSource } from './export/source.js';
export { verifyExport } from './export/verify.js';
export type { ImportFormat, ImportInput, ImportSettings } from './import/settings.js';
export { importSchema, parseImport } from './import/settings.js';
// What a file, a folder or a machine is.
export type { Diagnosis } from './inspect/doctor.js';
export { diagnose } from './inspect/doctor.js';
export type { InspectOptions } from './inspect/inspect.js';
export { inspect } from './inspect/inspect.js';
export type { Inspection } from './inspect/inspection.js';
export { forwardFlops } from './model/forward-flops.js';
// Checkpoint folders to scoring graphs.
export { describeModel, prepareModel } from './model/prepare.js';
export type {
  Device,
  GraphSettings,
  ModelInfo,
  PreparedModel,
  TensorCensus,
} from './model/prepared-model.js';
export { sessionOptions } from './model/session-options.js';
export type { PackReport } from './pack/pack-run.js';
export { packCorpus } from './pack/pack-run.js';
export type { PartsReport } from './pack/rows-job.js';
export type { PackInput, PackSettings } from './pack/settings.js';
export { packSchema, parsePack } from './pack/settings.js';
// Whole runs, planned and carried out.
export type { EventSink, RunEvent } from './parts/events.js';
export type { PartsOptions } from './parts/parts-job.js';
export type { Totals } from './parts/totals.js';
export type { FinishedStage, StageOptions, StageReports, StageSinks } from './pipeline/run-stages.js';
export { chooseStages, runStages } from './pipeline/run-stages.js';
export type { Pipeline, PipelineInput } from './pipeline/settings.js';
export { parsePipeline, pipelineSchema } from './pipeline/settings.js';
export type { Stage, StagedPipeline, StageKind, StageSettings } from './pipeline/stages.js';
export { isStaged, parseStages } from './pipeline/stages.js';
export type { CostInputs, CostPlan } from './plan/plan.js';
export { planCost } from './plan/plan.js';
export type { PlanOptions, RunPlan } from './plan/plan-run.js';
export { planRun } from './plan/plan-run.js';
export type { StagedPlan } from './plan/stage-facts.js';
export { planStaged } from './plan/stage-facts.js';
export type { ScoreOptions, ScoreReport } from './score/score-run.js';
export { scoreCorpus } from './score/score-run.js';
// Selection over stored losses. A method of one’s own is an object of type Method.
export type { Finding as SelectionFinding } from './select/diagnosis/finding.js';
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
export type { SelectOptions, SelectReport } from './select/select-run.js';
export { selectRun } from './select/select-run.js';
export type { Selection, Weighing } from './select/selection.js';
export { createSelection } from './select/selection.js';
export type { SelectionInput, SelectionSettings } from './select/settings.js';
export { selectionSettings } from './select/settings.js';
export type { Tokens } from './select/tokens.js';
export type { Weighted } from './select/weigh.js';

// Documents to rows of the model.
export type { AttentionScope, Packer, PackingRules, TokenizedDocument } from './sequence/packing.js';
export { createPacker } from './sequence/packing.js';
export type { Segment, Sequence } from './sequence/sequence.js';

// Where bytes come from and go to.
export { localStorage } from './storage/local.js';
export type { PatienceSettings } from './storage/patience.js';
export type { RoutedOptions } from './storage/routed.js';
export { routedStorage } from './storage/routed.js';
export type { ListOptions, ObjectStat, StagedFile, StagingOptions, Storage } from './storage/storage.js';

// Text to ids.
export type { OpenedTokenizer, TokenizerDescription, TokenizerSource } from './tokenizer/open.js';
export { hashTokenizer, openTokenizer } from './tokenizer/open.js';
export type { ByteOffsets, Encoding, Tokenizer, TokenizerEngine } from './tokenizer/tokenizer.js';

// Training: settings to checkpoints, what a run leaves, and rows in the order that it sees them.
export type {
  DataDescription,
  DataPosition,
  RowOrigin,
  SourceDescription,
  StepBatch,
} from './train/batch.js';
export type { StoredCheckpoint } from './train/checkpoint.js';
export { loadTrainerState, readCheckpoint } from './train/checkpoint.js';
export { latestCheckpoint } from './train/checkpoints.js';
export { heldOutBatches } from './train/data/held-out.js';
export type { PositionedBatch, TrainingData } from './train/data/open.js';
export { openTrainingData, startOf } from './train/data/open.js';
export { stepsOf } from './train/data/steps.js';
export type { TrainEvent, TrainSink } from './train/events.js';
export { readMetrics } from './train/metrics.js';
export type { TrainOptions } from './train/options.js';
export type { ParameterVectors, TrainerState } from './train/parameters.js';
export { learningRate } from './train/schedule.js';
export type { TrainInput, TrainSettings } from './train/settings.js';
export { trainSchema } from './train/settings.js';
export type { StepMetrics } from './train/step-metrics.js';
export type { TrainReport } from './train/train-run.js';
export { trainRun } from './train/train-run.js';
