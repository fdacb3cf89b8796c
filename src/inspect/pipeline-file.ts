import { parsePipeline, readPipelineFile } from '../config/load.js';
import type { Pipeline } from '../config/pipeline.js';

export interface PipelineInspection {
  readonly kind: 'pipeline';
  readonly path: string;
  /** With every default filled in. */
  readonly pipeline: Pipeline;
}

/** @throws TokensieveError (usage) `pipeline-unreadable`, `bad-settings` */
export async function inspectPipeline(path: string): Promise<PipelineInspection> {
  return { kind: 'pipeline', path, pipeline: parsePipeline(await readPipelineFile(path), path) };
}
