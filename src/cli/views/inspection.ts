import type { Inspection } from '../../inspect/inspection.js';
import { corpusText, jsonLinesText, parquetText, pipelineText } from './corpus.js';
import { documentsText, manifestText, runText, sequencesText } from './dataset.js';
import { exportManifestText, exportText } from './export.js';
import { modelText, onnxText, safetensorsText, tokenizerText } from './model.js';
import { trainingText } from './training.js';

/** What was found, in one screen. */
export function inspectionText(found: Inspection): string {
  switch (found.kind) {
    case 'parquet':
      return parquetText(found);
    case 'jsonl':
      return jsonLinesText(found);
    case 'corpus':
      return corpusText(found);
    case 'pipeline':
      return pipelineText(found);
    case 'scored':
    case 'weighted':
    case 'packed':
      return sequencesText(found);
    case 'documents':
      return documentsText(found);
    case 'manifest':
      return manifestText(found);
    case 'run':
      return runText(found);
    case 'export':
      return exportText(found);
    case 'export-manifest':
      return exportManifestText(found);
    case 'safetensors':
      return safetensorsText(found);
    case 'onnx':
      return onnxText(found);
    case 'tokenizer':
      return tokenizerText(found);
    case 'model':
      return modelText(found);
    case 'training':
      return trainingText(found);
  }
}
