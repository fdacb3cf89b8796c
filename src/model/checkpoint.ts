/** A Hugging Face checkpoint folder: config.json and where each tensor lies. Read-only; nothing is trusted. */
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fatalError, firstLine } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { readText } from '../storage/read-text.js';
import { architectures } from './architectures/index.js';
import type { Decoder } from './decoder.js';
import { refuseOtherConfig } from './other-models.js';
import { refuseAdapter } from './peft-adapter.js';
import { refuseQuantisedConfig } from './quantisation.js';
import type { TensorEntry } from './safetensors.js';
import { assignTensors, type OtherTensors, unusedWarning } from './tensors.js';
import { leadingFile, readWeightFiles, WEIGHTS_NAME } from './weight-files.js';

/** A file that defines the model: its name in the folder, and its real path behind any links. */
export interface CheckpointFile {
  readonly name: string;
  readonly path: string;
}

export interface Checkpoint {
  readonly folder: string;
  /** As config.json names it. */
  readonly architecture: string;
  readonly decoder: Decoder;
  /** By the decoder's names for its parameters; `file` of each is a real path. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly others: OtherTensors;
  /** `.safetensors` files in the folder that are none of the checkpoint's. */
  readonly unread: readonly string[];
  /** What a run says of the checkpoint, one line each: tensors that are not used, an index that is wrong. */
  readonly warnings: readonly string[];
  /** config.json, weight files and their index, in order of name. */
  readonly files: readonly CheckpointFile[];
}

const maxConfigBytes = 16 * 2 ** 20;

/**
 * Opens a checkpoint folder: every parameter has its tensor, of the right shape and type, and nothing in the folder says
 * that the model is another one. Bytes of tensors are read only where two might be one (a tied head that was saved).
 * @throws fatal `no-checkpoint`, `unknown-architecture`, `unknown-rope-type`, `bad-config`; errors of `refuseOtherConfig`,
 *   `refuseQuantisedConfig`, `refuseAdapter`, `readWeightFiles` and `assignTensors`
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const { architecture, decoder, config } = await readConfiguration(join(folder, 'config.json'));
  await refuseAdapter(folder);
  const first = leadingFile(folder, config);
  if (first === null)
    throw fatalError(
      'no-checkpoint',
      `${folder}: has config.json but no ${WEIGHTS_NAME}; fetch the weights too`,
    );
  const { names, tensors: found, unread, warnings } = await readWeightFiles(folder, first);
  const { tensors, others } = await assignTensors(folder, decoder, found);
  const files = await Promise.all(
    ['config.json', ...names]
      .sort()
      .map(async (name) => ({ name, path: await realpath(join(folder, name)) })),
  );
  return {
    folder,
    architecture,
    decoder,
    tensors,
    others,
    unread,
    warnings: [...warnings, ...unusedWarning(folder, others)],
    files,
  };
}

/** A config.json by itself: enough to build a model from scratch. */
export interface Configuration {
  /** As config.json names it. */
  readonly architecture: string;
  readonly decoder: Decoder;
  /** The object as it was read. */
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * Reads a config.json.
 * @throws fatal `bad-config`, `unknown-architecture`, `unknown-rope-type`; errors of `refuseOtherConfig` and
 *   `refuseQuantisedConfig`
 */
export async function readConfiguration(path: string): Promise<Configuration> {
  const json = await readJson(path, maxConfigBytes, 'bad-config');
  refuseOtherConfig(json, path);
  refuseQuantisedConfig(json, path);
  const config = parseHead(json, path);
  const [architecture = ''] = config.architectures;
  const build = architectures[architecture];
  if (build === undefined || !Object.hasOwn(architectures, architecture)) {
    throw fatalError(
      'unknown-architecture',
      `${path}: architecture ${architecture} is not known; expected one of ${Object.keys(architectures).join(', ')}: export the model to ONNX to use it`,
    );
  }
  return { architecture, decoder: build(config, path), config };
}

const configHead = z.looseObject({ architectures: z.array(z.string().max(256)).min(1) });

function parseHead(config: unknown, file: string): z.infer<typeof configHead> {
  const parsed = configHead.safeParse(config);
  if (parsed.success) return parsed.data;
  throw fatalError(
    'bad-config',
    `${file}: names no architecture; expected "architectures": ["LlamaForCausalLM"] or the like: fetch the checkpoint's config.json again`,
  );
}

async function readJson(file: string, maxBytes: number, code: string): Promise<unknown> {
  const text = await readText(file, maxBytes).catch((error: unknown) => {
    throw fatalError(code, `${file}: ${firstLine(error)}; fetch the checkpoint again`, { cause: error });
  });
  try {
    return parseJson(text);
  } catch (error) {
    throw fatalError(code, `${file}: is not JSON; fetch the checkpoint again`, { cause: error });
  }
}
