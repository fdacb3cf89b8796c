/** What `inspect` found, as plain data: `--json` prints it as it is, src/cli/views turn it into a screen. */

import type { DocumentsInspection, SequencesInspection } from './arrow.js';
import type { CorpusInspection } from './corpus-folder.js';
import type { ExportInspection, ExportManifestInspection } from './export.js';
import type { JsonLinesInspection } from './json-lines.js';
import type { ManifestInspection } from './manifest.js';
import type { ModelInspection } from './model-folder.js';
import type { OnnxInspection } from './onnx.js';
import type { ParquetInspection } from './parquet.js';
import type { PipelineInspection } from './pipeline-file.js';
import type { RunInspection } from './run-folder.js';
import type { SafetensorsInspection } from './safetensors.js';
import type { TokenizerInspection } from './tokenizer.js';
import type { TrainingInspection } from './training.js';

export type Inspection =
  | ParquetInspection
  | JsonLinesInspection
  | CorpusInspection
  | SequencesInspection
  | DocumentsInspection
  | ManifestInspection
  | RunInspection
  | ExportInspection
  | ExportManifestInspection
  | SafetensorsInspection
  | OnnxInspection
  | TokenizerInspection
  | ModelInspection
  | PipelineInspection
  | TrainingInspection;
