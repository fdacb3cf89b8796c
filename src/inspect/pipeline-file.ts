import { readPipelineFile } from '../config/load.js';
import type { Pipeline } from '../pipeline/settings.js';
import { parsePipeline } from '../pipeline/settings.js';
import { isStaged, parseStages, type Stage } from '../pipeline/stages.js';

/** A pipeline file, with every default filled in: a single run, or stages. */
export type PipelineInspection =
  | { readonly kind: 'pipeline'; readonly path: string; readonly pipeline: Pipeline }
  | { readonly kind: 'pipeline'; readonly path: string; readonly stages: readonly Stage[] };

/** @throws TokensieveError (usage) `pipeline-unreadable`, `bad-settings`, `stage-names` */
export async function inspectPipeline(path: string): Promise<PipelineInspection> {
  const settings = await readPipelineFile(path);
  return isStaged(settings)
    ? { kind: 'pipeline', path, stages: parseStages(settings, path).stages }
    : { kind: 'pipeline', path, pipeline: parsePipeline(settings, path) };
}
