/** Models that an engine's process computes (docs/engines.md): hashed as they lie in their folders, described by the engine. */
import { readdir, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { EMBEDDED_ENGINE, engineCommand } from '../engine/command.js';
import { type Engine, openEngine } from '../engine/open-engine.js';
import type { EngineAnswer, EngineJob, EngineOutput } from '../engine/protocol.js';
import { fatalError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import { hashModel } from '../model/hash.js';
import { type ModelFile, modelFile } from '../model/model-file.js';
import { type ModelWatch, watchModel } from '../model/model-watch.js';
import type { ModelInfo } from '../model/prepared-model.js';
import type { ModelRole } from './role.js';
import type { ScoreSettings } from './settings.js';

/** What decides how an engine is asked. */
export interface EngineRequest {
  readonly score: Pick<
    ScoreSettings,
    'precision' | 'engine' | 'reference_engine' | 'current_engine' | 'compile'
  > & { readonly device?: string | undefined };
  readonly outputs: readonly EngineOutput[];
  readonly attention: EngineJob['attention'];
  /** Tokens. */
  readonly longestRow: number;
  readonly python: string | undefined;
  readonly threads: number;
  readonly lanes: number;
  readonly cacheFolder: string | null;
}

/** Several models of one engine are one process's. */
export interface EngineUse {
  readonly roles: readonly ModelRole[];
  /** A process of its own for each call; the first is the one that described the models. */
  open(place: { readonly threads: number; readonly card: number }): Promise<Engine>;
  /** Ends what was opened and never taken. */
  close(): Promise<void>;
}

export interface EngineModel {
  readonly info: ModelInfo;
  readonly watch: ModelWatch;
  readonly use: EngineUse;
  /** What decides the last bits of its losses. */
  readonly profile: JsonObject;
}

export const isEngineModel = (model: object | undefined): model is EngineModel =>
  model !== undefined && 'use' in model;

/** The engine that a role is computed by. */
export function engineOf(role: ModelRole, score: EngineRequest['score']): string {
  const own = role === 'reference' ? score.reference_engine : score.current_engine;
  return own ?? score.engine ?? EMBEDDED_ENGINE;
}

export interface EngineModels {
  readonly models: Readonly<Partial<Record<ModelRole, EngineModel>>>;
  /** What the engines said while they loaded. */
  readonly warnings: readonly string[];
  close(): Promise<void>;
}

/**
 * Opens the engines of the roles that have one, and asks them what their models are.
 * @throws TokensieveError of `openEngine`; fatal `no-checkpoint` for a folder with nothing to hash; `engine-shy` where an
 *   engine does not offer what is asked for
 */
export async function openEngineModels(
  folders: readonly (readonly [ModelRole, string])[],
  request: EngineRequest,
): Promise<EngineModels> {
  const warnings: string[] = [];
  const models: Partial<Record<ModelRole, EngineModel>> = {};
  const uses: EngineUse[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(uses.map((use) => use.close()));
  };
  const names = [...new Set(folders.map(([role]) => engineOf(role, request.score)))];
  try {
    for (const name of names.filter((one) => one !== EMBEDDED_ENGINE)) {
      const own = folders.filter(([role]) => engineOf(role, request.score) === name);
      const hashed = await Promise.all(own.map(([, folder]) => hashOf(folder, request.cacheFolder)));
      const { use, answer } = await openUse(name, own, request, names.length, warnings);
      uses.push(use);
      for (const [index, [role, folder]] of own.entries()) {
        const found = hashed[index];
        if (found === undefined) continue;
        models[role] = {
          info: infoOf(role, folder, answer, found),
          watch: watchModel(folder, found.files),
          use,
          profile: profileOf(role, answer, request.score.precision),
        };
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { models, warnings, close };
}

async function openUse(
  name: string,
  own: readonly (readonly [ModelRole, string])[],
  request: EngineRequest,
  engines: number,
  warnings: string[],
): Promise<{ readonly use: EngineUse; readonly answer: EngineAnswer }> {
  const command = engineCommand(name, request.python);
  const open = (threads: number, card: number): Promise<Engine> =>
    openEngine({
      command,
      job: jobOf(own, request, threads, card),
      onLog: ({ message }) => warnings.push(`engine ${name}: ${message}`),
    });
  const share = Math.max(1, Math.floor(availableParallelism() / (request.lanes * engines)));
  let first: Engine | null = await open(request.threads || share, 0);
  const { answer } = first;
  const shy = request.outputs.find((output) => !answer.outputs.includes(output));
  if (shy !== undefined) {
    await first.close();
    throw fatalError(
      'engine-shy',
      `engine ${name}: gives ${answer.outputs.join(', ')}; ${shy} was asked for`,
    );
  }
  const use: EngineUse = {
    roles: own.map(([role]) => role),
    async open({ threads, card }) {
      const kept = first;
      first = null;
      return kept !== null && card === 0 ? kept : open(threads, card);
    },
    async close() {
      const kept = first;
      first = null;
      await kept?.close();
    },
  };
  return { use, answer };
}

const jobOf = (
  own: readonly (readonly [ModelRole, string])[],
  { score, outputs, attention, longestRow }: EngineRequest,
  threads: number,
  card: number,
): EngineJob => ({
  models: own.map(([role, folder]) => ({ name: role, folder: resolve(folder) })),
  device: score.device ?? 'auto',
  card,
  precision: score.precision,
  threads,
  longest_row: longestRow,
  attention,
  outputs,
  options: score.compile === true ? { compile: true } : {},
});

/** Files of a folder that can make another model of it: everything that is no text for people, no tokenizer and no hidden file. */
const OF_THE_MODEL = /\.(json|safetensors|bin|pt|pth|gguf|onnx|onnx_data|py|xml)$/i;
const NOT_OF_IT =
  /^(tokenizer|special_tokens|added_tokens|vocab|merges|chat_template|preprocessor|processor|generation_config|training_args|trainer_state|optimizer|scheduler|rng_state)/i;

interface HashedFolder extends Awaited<ReturnType<typeof hashModel>> {
  readonly bytes: number;
}

async function hashOf(folder: string, cacheFolder: string | null): Promise<HashedFolder> {
  const names = await readdir(folder).catch(() => null);
  if (names === null) {
    throw fatalError('no-such-folder', `${folder}: no such folder; check the path`);
  }
  const own = names.filter((name) => OF_THE_MODEL.test(name) && !NOT_OF_IT.test(name)).sort();
  if (own.length === 0) {
    throw fatalError(
      'no-checkpoint',
      `${folder}: holds no config.json and no weights; expected the folder of a model`,
    );
  }
  const files: ModelFile[] = [];
  let bytes = 0;
  for (const name of own) {
    files.push(await modelFile(folder, name));
    bytes += (await stat(join(folder, name))).size;
  }
  return { ...(await hashModel(files, cacheFolder)), bytes };
}

function infoOf(role: ModelRole, folder: string, answer: EngineAnswer, found: HashedFolder): ModelInfo {
  const facts = answer.models[role];
  if (facts === undefined) throw new Error(`an engine says nothing of the ${role} model`);
  return {
    folder,
    hash: found.hash,
    architecture: facts.architecture,
    vocabularySize: facts.vocabulary,
    maxPositions: facts.max_positions,
    parameters: facts.parameters,
    flopsPerToken: { matmul: 2 * facts.parameters, attentionPerContextToken: 0 },
    weightType: facts.dtype,
    weightBytes: found.bytes,
  };
}

/** The engine's answer for one model, without what is no matter of numbers. */
function profileOf(role: ModelRole, answer: EngineAnswer, precision: string): JsonObject {
  const {
    architecture: _,
    vocabulary: __,
    max_positions: ___,
    parameters: ____,
    ...held
  } = answer.models[role] ?? {};
  return { engine: answer.engine, precision, model: held as JsonObject, ...(answer.profile as JsonObject) };
}
