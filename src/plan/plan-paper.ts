import { join } from 'node:path';
import { usageError } from '../errors.js';
import { readConfiguration } from '../model/configuration.js';
import { forwardFlops } from '../model/forward-flops.js';
import type { Pipeline } from '../pipeline/settings.js';
import { parametersOf } from '../train/graph/trainable-weights.js';
import { scoredBytes } from './plan.js';
import type { FleetWork } from './plan-fleet.js';

/** A model by its config.json: nothing else of it need be there. */
export interface PaperModel {
  readonly path: string;
  readonly architecture: string;
  readonly parameters: number;
  /** Floating-point operations a token of a forward pass over rows of the run's length. */
  readonly flopsPerToken: number;
}

/** What is taken for granted of a corpus that is not at hand. */
export interface PaperCorpus {
  readonly tokens: number;
  /** UTF-8 bytes of text a token. */
  readonly textBytesPerToken: number;
  /** Bytes of stored shards a token. */
  readonly inputBytesPerToken: number;
}

type PaperSettings = Pick<Pipeline, 'reference' | 'current' | 'score' | 'corpus'>;

/** Bytes of a weight as checkpoints are published: bf16 or fp16. */
const WEIGHT_BYTES = 2;

/**
 * A corpus of so many tokens, scored by models of these shapes: no shard, tokenizer or weight is read.
 * @throws TokensieveError usage `no-model`; fatal `bad-config` and the like
 */
export async function paperWork(
  pipeline: PaperSettings & Pick<Pipeline, 'sequence'>,
  corpus: PaperCorpus,
): Promise<{ readonly work: FleetWork; readonly models: readonly PaperModel[] }> {
  const { sequence } = pipeline;
  const paths = [pipeline.reference, pipeline.current].filter((path) => path !== undefined);
  if (paths.length === 0) {
    throw usageError(
      'no-model',
      'no model to plan for: name config.json files with --reference and --current (pipelines/shapes has some)',
    );
  }
  const models: PaperModel[] = [];
  for (const path of paths) {
    const file = path.endsWith('.json') ? path : join(path, 'config.json');
    const { architecture, decoder } = await readConfiguration(file);
    const parameters = parametersOf(decoder).reduce((sum, { length }) => sum + length, 0);
    models.push({ path, architecture, parameters, flopsPerToken: forwardFlops(decoder, sequence.length) });
  }
  const flops = models.reduce((sum, { flopsPerToken }) => sum + flopsPerToken * corpus.tokens, 0);
  const modelBytes = models.reduce((sum, { parameters }) => sum + parameters * WEIGHT_BYTES, 0);
  return { models, work: { ...stageWork(pipeline, corpus, flops), modelBytes } };
}

/** The work of a scoring stage that is known by tokens and operations; its models' size follows from them. */
export function stageWork(
  { reference, current, score, corpus: { part_bytes: partBytes } }: PaperSettings,
  { tokens, textBytesPerToken, inputBytesPerToken }: PaperCorpus,
  flops: number,
): FleetWork {
  const models = [reference, current].filter((path) => path !== undefined).length;
  const textBytes = tokens * textBytesPerToken;
  return {
    tokens,
    flops,
    textBytes,
    inputBytes: tokens * inputBytesPerToken,
    outputBytes: tokens * scoredBytes(models, score.loss_precision === 'fp16' ? 2 : 4, score.entropy),
    // Two operations a parameter and token.
    modelBytes: (flops / tokens / 2) * WEIGHT_BYTES,
    parts: Math.ceil(textBytes / partBytes),
  };
}
