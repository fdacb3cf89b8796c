import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseJson } from '../json/parse-json.js';
import type { ModelShape } from '../model/decoder.js';
import { type ModelForm, modelForm } from '../model/folder-kind.js';
import { forwardFlops } from '../model/forward-flops.js';
import { type ExportReport, examineOnnxExport } from '../model/onnx-export.js';
import { describeModel } from '../model/prepare.js';
import type { ModelInfo } from '../model/prepared-model.js';
import { readText } from '../storage/read-text.js';
import { shapeFromConfig } from './model-shape.js';
import { inspectOnnx, type OnnxInspection } from './onnx.js';

/** Context at which the cost of attention is told, in tokens. */
export const FLOPS_CONTEXT = 2048;

const MAX_CONFIG_BYTES = 16 * 2 ** 20;

export interface ModelInspection extends ModelInfo {
  readonly kind: 'model';
  readonly path: string;
  readonly form: ModelForm;
  /** What the configuration says of the layers; nulls where an export's does not. */
  readonly shape: ModelShape;
  /** The export's own graph, before anything is cut from it; null for a checkpoint. */
  readonly graph: OnnxInspection | null;
  /** Which file of an export was taken, and what the probe found; null for a checkpoint. */
  readonly probed: Omit<ExportReport, 'info'> | null;
  /** Forward pass, a token of a row of `FLOPS_CONTEXT` tokens. */
  readonly flopsAtContext: number;
  /** Bytes of the weights once they are fp32, as the CPU computes them: 4 a parameter. Batches come on top. */
  readonly cpuWeightBytes: number;
  readonly hasTokenizer: boolean;
}

/**
 * What a model folder is, as far as configuration and headers say; the weights are read once for the hash, which
 * `cacheFolder` remembers. An export is probed on the CPU, so that what cannot be scored is refused here.
 * @throws TokensieveError (fatal) whatever opening a checkpoint or an export throws
 */
export async function inspectModel(folder: string, cacheFolder: string | null): Promise<ModelInspection> {
  const form = await modelForm(folder);
  const report = form === 'onnx-export' ? await examineOnnxExport(folder, cacheFolder) : null;
  const { info, ...probed } = report ?? { info: await describeModel(folder, cacheFolder) };
  return {
    kind: 'model',
    path: folder,
    ...info,
    form,
    shape: info.shape ?? shapeFromConfig(await readConfig(folder)),
    graph: report === null ? null : await inspectOnnx(report.path),
    probed: 'verdict' in probed ? probed : null,
    flopsAtContext: forwardFlops(info, FLOPS_CONTEXT),
    cpuWeightBytes: 4 * info.parameters,
    hasTokenizer: existsSync(join(folder, 'tokenizer.json')),
  };
}

/** Checked for size and form when the model was opened; exports may have none. */
async function readConfig(folder: string): Promise<unknown> {
  try {
    return parseJson(await readText(join(folder, 'config.json'), MAX_CONFIG_BYTES));
  } catch {
    return null;
  }
}
