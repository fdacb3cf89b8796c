/**
 * ONNX exports as optimum, onnxruntime-genai and transformers.js lay them out, turned into scoring graphs: inputs are made
 * from `input_ids`, the cache goes, the graph is cut before its logits and the loss head is put in their place. What they
 * compute is probed before it is believed.
 */
import { usageError } from '../errors.js';
import { encodeModel } from '../onnx/proto.js';
import { cacheGraph } from './graph-cache.js';
import { hashModel } from './hash.js';
import { buildExportGraphs, type OpenedExport } from './onnx-export-build.js';
import { openExport } from './onnx-export-file.js';
import { exportInfo } from './onnx-export-info.js';
import { probeExport } from './onnx-export-probe.js';
import { type ExportVerdict, refuseUnboundedRows } from './onnx-export-verdict.js';
import {
  type Device,
  type GraphSettings,
  type ModelInfo,
  type PreparedModel,
  preparedModel,
} from './prepared-model.js';

/**
 * What an export is, by its graph and configuration: nothing runs. Its data files are read once, for the hash;
 * `cacheFolder` remembers it.
 * @throws fatal `onnx-*` errors of reading, of inputs and of logits.
 */
export async function describeOnnxExport(
  folder: string,
  cacheFolder: string | null = null,
): Promise<ModelInfo> {
  return (await openGraphs(folder, { entropy: false, cacheFolder })).info;
}

/** What `model info` says of an export: which file was taken, and what the probe found. */
export interface ExportReport {
  readonly info: ModelInfo;
  /** The ONNX file, and the others of the folder, which were not taken. */
  readonly path: string;
  readonly others: readonly string[];
  readonly verdict: ExportVerdict;
}

/**
 * `describeOnnxExport`, and the probe on `device`.
 * @throws fatal errors of `describeOnnxExport` and of `probeExport`.
 */
export async function examineOnnxExport(
  folder: string,
  cacheFolder: string | null,
  device: Device = 'cpu',
): Promise<ExportReport> {
  const opened = await openGraphs(folder, { entropy: false, cacheFolder });
  const verdict = await probeExport(opened, { device, cacheFolder });
  const { path, others } = opened.file;
  return { info: bounded(opened.info, verdict), path, others, verdict };
}

/**
 * Builds the scoring graph of an export, or finds it in the cache, and probes it on the device it is for.
 * @throws fatal errors of `describeOnnxExport` and of `probeExport`; `onnx-length-switch` for an export that is right only up to
 * some length of row, unless the caller heeds `info.maxPositions`; usage `onnx-attention` for attention `within`: an
 * export's attention mask tells padding from text and cannot keep documents apart.
 */
export async function prepareOnnxExport(folder: string, settings: GraphSettings): Promise<PreparedModel> {
  const { cacheFolder, device } = settings;
  const opened = await openGraphs(folder, settings);
  const { file, graphs, info } = opened;
  if (settings.attention === 'within') {
    throw usageError(
      'onnx-attention',
      `${file.path}: an ONNX export cannot keep a row's documents apart (attention within); use attention across, or the checkpoint it was exported from`,
    );
  }
  const verdict = await probeExport(opened, { device, cacheFolder });
  if (!settings.heedsMaxPositions) refuseUnboundedRows(verdict, file.path);
  const cached = await cacheGraph(encodeModel(opened.modelOf(graphs.scoring)), info.hash, cacheFolder);
  const { weightsFolder } = file;
  return preparedModel(cached, { weightsFolder, files: opened.files, info: bounded(info, verdict) });
}

async function openGraphs(
  folder: string,
  settings: { entropy: boolean; greedy?: boolean | undefined; cacheFolder: string | null },
): Promise<OpenedExport> {
  const { entropy, greedy = false, cacheFolder } = settings;
  const file = await openExport(folder);
  const graphs = buildExportGraphs(file, { entropy, greedy });
  const { hash, files } = await hashModel(file.files, cacheFolder);
  const { vocabularySize, scoring } = graphs;
  return {
    file,
    files,
    graphs,
    info: exportInfo(scoring, file.config, { folder, hash, vocabularySize }),
    modelOf: (graph) => ({ ...file.model, graph }),
  };
}

/** Rows may be no longer than where the export's losses begin to depend on the longest row of a batch. */
const bounded = (info: ModelInfo, { lengthSwitch }: ExportVerdict): ModelInfo =>
  lengthSwitch === null
    ? info
    : { ...info, maxPositions: Math.min(lengthSwitch.length, info.maxPositions ?? lengthSwitch.length) };
