import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { EMBEDDED_ENGINE } from '../engine/command.js';
import { usageError } from '../errors.js';
import { checkModel, describeModel, prepareModel } from '../model/prepare.js';
import type { Device, ModelInfo } from '../model/prepared-model.js';
import { checkVocabulary } from '../model/vocabulary.js';
import type { AttentionScope } from '../sequence/packing.js';
import { localPath } from '../storage/path.js';
import type { BoundaryOverrides } from '../tokenizer/boundaries.js';
import { identifyTokenizer, openTokenizer } from '../tokenizer/open.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { type Compute, planCompute } from './compute.js';
import { type EngineModels, type EngineRequest, engineOf, openEngineModels } from './engine-models.js';
import type { ModelRole } from './role.js';
import type { ScoringModel } from './scorer.js';
import type { Scoring } from './settings.js';

/** What opening needs to know; a pipeline says all of it. */
export interface ModelRequest {
  readonly reference?: string | undefined;
  readonly current?: string | undefined;
  readonly tokenizer: Scoring['tokenizer'];
  /** Without a length, nothing is held against what a model takes. */
  readonly sequence: {
    readonly attention: AttentionScope;
    readonly length?: number | undefined;
    readonly bos?: boolean | undefined;
    readonly eos?: boolean | undefined;
  };
  readonly score: EngineRequest['score'] & {
    readonly entropy: boolean;
    readonly greedy?: boolean;
    readonly batch_tokens?: number | undefined;
  };
  readonly run: Pick<Scoring['run'], 'tokenizer_engine' | 'cache'> & {
    readonly workers?: number;
    readonly threads?: number;
    readonly python?: string | undefined;
    readonly cards?: number | undefined;
    readonly card_memory?: number | undefined;
  };
}

/** Longest rows where the models would take longer ones and no length is set. */
export const DEFAULT_LENGTH = 2048;

/** The tokenizer and the models of a run, checked against each other. */
export interface ModelInputs {
  readonly tokenizer: Tokenizer;
  /** Where it was found: a tokenizer.json, or the folder that holds it. */
  readonly tokenizerPath: string;
  readonly models: Readonly<Partial<Record<ModelRole, ScoringModel>>>;
  readonly roles: readonly ModelRole[];
  readonly compute: Compute;
  /** What the log says of the models, one line each. */
  readonly warnings: readonly string[];
  /** Ends the tokenizer, and engines that were asked what their models are and are not used. */
  close(): Promise<void>;
}

/** Folder for built graphs when none is set: the user's cache, by the XDG convention. */
export function defaultCacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tokensieve');
}

/**
 * Opens what the pipeline names. Both models must have been made for one tokenizer, and neither may give fewer
 * logits than the tokenizer has ids.
 * @throws TokensieveError (usage) `no-tokenizer`, `tokenizers-differ`, `sequence-too-long`, `vocabulary-mismatch`;
 *   and whatever opening a tokenizer or a checkpoint throws
 */
export async function openModelInputs(pipeline: ModelRequest, device: Device): Promise<ModelInputs> {
  const folders: [ModelRole, string][] = [];
  if (pipeline.reference !== undefined) folders.push(['reference', pipeline.reference]);
  if (pipeline.current !== undefined) folders.push(['current', pipeline.current]);

  const embedded = folders.filter(([role]) => engineOf(role, pipeline.score) === EMBEDDED_ENGINE);
  // A model folder that is none is told before its tokenizer is missed.
  for (const [, folder] of embedded) await checkModel(folder);
  const tokenizerPath = pipeline.tokenizer.path ?? folders.map(([, folder]) => folder).find(hasTokenizer);
  if (tokenizerPath === undefined) {
    throw usageError(
      'no-tokenizer',
      `${folders.map(([, folder]) => folder).join(', ')}: no tokenizer.json in the model folders; name one with --tokenizer`,
    );
  }
  const tokenizer = await openTokenizer({
    path: tokenizerPath,
    engine: pipeline.run.tokenizer_engine,
    controlTokens: pipeline.tokenizer.control_tokens,
    ...overridesOf(pipeline),
  });
  let engines: EngineModels | null = null;
  try {
    const models: Partial<Record<ModelRole, ScoringModel>> = {};
    const cacheFolder = localPath(pipeline.run.cache ?? defaultCacheFolder(), 'run.cache');
    const compute = await computeOf(
      pipeline,
      device,
      embedded.map(([, folder]) => folder),
      cacheFolder,
    );
    for (const [, folder] of folders) await checkTokenizer(folder, tokenizer, tokenizerPath, pipeline);
    if (embedded.length < folders.length) {
      engines = await openEngineModels(folders, engineRequest(pipeline, cacheFolder));
    }
    for (const [role, folder] of folders) {
      const model: ScoringModel =
        engines?.models[role] ??
        (await prepareModel(folder, {
          device,
          attention: pipeline.sequence.attention,
          entropy: pipeline.score.entropy,
          greedy: pipeline.score.greedy,
          precision: compute.precision,
          ...(compute.batch !== null && { batch: compute.batch }),
          heedsMaxPositions: true, // below, and by whoever sets no length
          cacheFolder,
        }));
      checkVocabulary(model.info, tokenizer);
      const longest = model.info.maxPositions;
      const { length } = pipeline.sequence;
      if (longest !== null && length !== undefined && length > longest) {
        const switches =
          model.info.longestRow == null ? '' : ' (longrope takes other frequencies for longer rows)';
        throw usageError(
          'sequence-too-long',
          `${folder}: the model takes ${longest} positions${switches}, sequence.length is ${length}; use --sequence-length ${longest} or less`,
        );
      }
      models[role] = model;
    }
    const warnings = folders.flatMap(([role]) => models[role]?.info.warnings ?? []);
    return {
      tokenizer,
      tokenizerPath,
      models,
      roles: folders.map(([role]) => role),
      compute,
      warnings: [...warnings, ...(engines?.warnings ?? [])],
      close: async () => {
        await Promise.all([tokenizer.close(), engines?.close()]);
      },
    };
  } catch (error) {
    await Promise.all([tokenizer.close(), engines?.close()]);
    throw error;
  }
}

const engineRequest = ({ score, run, sequence }: ModelRequest, cacheFolder: string): EngineRequest => ({
  score,
  outputs: [
    'loss',
    ...(score.entropy ? ['entropy' as const] : []),
    ...(score.greedy === true ? ['greedy' as const] : []),
  ],
  attention: sequence.attention,
  longestRow: sequence.length ?? DEFAULT_LENGTH,
  python: run.python,
  threads: run.threads ?? 0,
  lanes: run.workers ?? 1,
  cacheFolder,
});

/** On CUDA graphs are for one batch shape, so the models are looked at before their graphs are built. */
async function computeOf(
  { score, run, sequence }: ModelRequest,
  device: Device,
  folders: readonly string[],
  cacheFolder: string,
): Promise<Compute> {
  const infos: ModelInfo[] = [];
  if (device === 'cuda') for (const folder of folders) infos.push(await describeModel(folder, cacheFolder));
  return planCompute(device, infos, {
    // What engines compute in is theirs.
    precision: folders.length === 0 ? 'auto' : score.precision,
    batchTokens: score.batch_tokens ?? null,
    cardMemory: run.card_memory ?? null,
    workers: run.workers ?? 1,
    cards: run.cards ?? null,
    length:
      sequence.length ??
      Math.min(DEFAULT_LENGTH, ...infos.map((info) => info.maxPositions ?? DEFAULT_LENGTH)),
    attention: sequence.attention,
    entropy: score.entropy,
  });
}

const hasTokenizer = (folder: string): boolean => existsSync(join(folder, 'tokenizer.json'));

const overridesOf = ({ sequence: { bos, eos } }: ModelRequest): BoundaryOverrides => ({ bos, eos });

/** Refuses a model whose own folder would give other rows than the run's tokenizer: other ids, or other marks around documents. */
async function checkTokenizer(
  folder: string,
  tokenizer: Tokenizer,
  path: string,
  request: ModelRequest,
): Promise<void> {
  if (!hasTokenizer(folder)) return;
  // A base model and its chat model name different EOS: what is switched on is the run's token for both.
  const { bos, eos } = overridesOf(request);
  const own = await identifyTokenizer(folder, request.tokenizer.control_tokens, {
    bos: bos === true ? tokenizer.bosId : bos,
    eos: eos === true ? tokenizer.eosId : eos,
  });
  if (own.hash !== tokenizer.hash) {
    throw usageError(
      'tokenizers-differ',
      `${folder}: its tokenizer (${own.hash.slice(0, 12)}…) is not the run's (${path}, ${tokenizer.hash.slice(0, 12)}…); losses of two tokenizers cannot be compared, use models of one tokenizer`,
    );
  }
  for (const [mark, flag] of [
    ['bos', '--bos or --no-bos'],
    ['eos', '--eos or --no-eos'],
  ] as const) {
    const [id, theirs] = [tokenizer[`${mark}Id`], own[`${mark}Id`]];
    if (id === theirs) continue;
    const clause = (one: number | null, source: string): string =>
      `${one === null ? 'none' : `id ${one}`} (${source})`;
    throw usageError(
      'tokenizers-differ',
      `${folder}: ${mark.toUpperCase()} is ${clause(theirs, own[`${mark}Source`])}, but the run's tokenizer (${path}) has ${clause(id, tokenizer[`${mark}Source`])}, so that the two would see other rows; ${flag} settles it for both (--${mark} takes the run's, and --tokenizer says whose that is)`,
    );
  }
}
