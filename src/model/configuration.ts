/** config.json: which family it is of, what its decoder is, and which of its fields change nothing. */
import { z } from 'zod';
import { fatalError, firstLine } from '../errors.js';
import { parsePythonJson } from '../json/python-json.js';
import { readText } from '../storage/read-text.js';
import { families } from './architectures/index.js';
import { ignoredFields } from './config-fields.js';
import type { Decoder, Family } from './decoder.js';
import { refuseOtherConfig } from './other-models.js';
import { isSwitchedOff, refuseQuantisedConfig } from './quantisation.js';

/** A config.json by itself: enough to build a model from scratch. */
export interface Configuration {
  /** The class that transformers builds from it. */
  readonly architecture: string;
  readonly decoder: Decoder;
  /** The object as it was read. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Fields that change no loss, in the file's order. */
  readonly ignored: readonly string[];
  /** Contradictions that a reader of the file should know of, and how transformers settles them: one sentence each. */
  readonly notes: readonly string[];
}

const maxConfigBytes = 16 * 2 ** 20;

/**
 * Reads a config.json.
 * @throws fatal `bad-config`, `unknown-architecture`, `unknown-rope-type`, `unknown-config-field`; errors of
 *   `refuseOtherConfig` and `refuseQuantisedConfig`
 */
export async function readConfiguration(path: string): Promise<Configuration> {
  const config = await readJson(path, maxConfigBytes, 'bad-config');
  refuseOtherConfig(config, path);
  refuseQuantisedConfig(config, path);
  checkHead(config, path);
  const family = familyOf(config, path);
  const ignored = ignoredFields(config, family, path);
  const decoder = family.build(config, path);
  return { architecture: family.className, decoder, config, ignored, notes: notesOn(config, family) };
}

/** As Python's json reads it, whose NaN and infinities people's fields hold. @throws fatal `code` naming the file */
async function readJson(file: string, maxBytes: number, code: string): Promise<unknown> {
  const text = await readText(file, maxBytes).catch((error: unknown) => {
    throw fatalError(code, `${file}: ${firstLine(error)}; fetch the checkpoint again`, { cause: error });
  });
  try {
    return parsePythonJson(text);
  } catch (error) {
    throw fatalError(code, `${file}: is not JSON; fetch the checkpoint again`, { cause: error });
  }
}

const headSchema = z.looseObject({
  model_type: z.string().max(256).nullish(),
  architectures: z.array(z.string().max(256)).nullish(),
  auto_map: z.record(z.string(), z.unknown()).nullish(),
});
type Head = z.infer<typeof headSchema>;

/** Checks that the file is an object, and that what names its family can do so. */
function checkHead(
  config: unknown,
  file: string,
): asserts config is Readonly<Record<string, unknown>> & Head {
  if (headSchema.safeParse(config).success) return;
  throw fatalError(
    'bad-config',
    `${file}: names no family of models; expected "model_type": "llama" or the like: fetch the checkpoint's config.json again`,
  );
}

/**
 * By `model_type`, as transformers chooses; `architectures` decides only where that is absent. A mistral with
 * layer_types is a ministral to transformers.
 */
function familyOf(config: Head, file: string): Family {
  const { model_type: type, architectures } = config;
  const known = Object.entries(families);
  const named =
    type === undefined || type === null
      ? known.find(([, { className }]) => architectures?.includes(className))?.[0]
      : type;
  const chosen = named === 'mistral' && Object.hasOwn(config, 'layer_types') ? 'ministral' : named;
  if (chosen !== undefined && Object.hasOwn(families, chosen)) {
    const family = families[chosen];
    if (family !== undefined) return family;
  }
  const found =
    named === undefined
      ? `has no model_type${architectures?.length ? ` and its architecture ${architectures.join(', ')} is not known` : ' and no architectures'}`
      : `model_type ${named} is not known`;
  const code = config.auto_map ? ' (its code lies beside it, auto_map, and is not run)' : '';
  throw fatalError(
    'unknown-architecture',
    `${file}: ${found}${code}; expected one of ${known.map(([name]) => name).join(', ')}: export the model to ONNX to use it`,
  );
}

function notesOn(config: Head, { className }: Family): string[] {
  const { architectures, auto_map: autoMap } = config;
  const filled = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && Object.keys(value).length > 0;
  const code = Object.entries(autoMap ?? {}).filter(([auto]) => /Config|Model/.test(auto));
  return [
    ...(architectures?.length && !architectures.includes(className)
      ? [
          `architectures names ${architectures.join(', ')}, model_type makes it ${className}: computed as that`,
        ]
      : []),
    ...(code.length > 0
      ? [
          `auto_map names code of its own (${code.map(([, name]) => String(name)).join(', ')}), which is not run: computed as transformers' ${className}`,
        ]
      : []),
    ...(isSwitchedOff(config)
      ? [
          'quantization_config names bitsandbytes and switches both of its forms off: the weights are used as they are, as by transformers',
        ]
      : []),
    ...(filled(config['rope_scaling']) && filled(config['rope_parameters'])
      ? ['rope_scaling and rope_parameters are both there: rope_scaling holds, as in transformers']
      : []),
  ];
}
