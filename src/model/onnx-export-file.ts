/** An ONNX export's folder: which file is the model, what is in it, and where its weights lie. Nothing is trusted. */
import { existsSync } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { TensorProto_DataLocation as DataLocation, type ModelProto, type TensorProto } from 'onnx-buf';
import { z } from 'zod';
import { fatalError, firstLine } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { decodeModel } from '../onnx/decode.js';
import { readText } from '../storage/read-text.js';
import { commonFolder } from './graph-cache.js';
import { type ModelFile, modelFile } from './model-file.js';
import { normalise } from './onnx-export-normal.js';

const size = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** What genai_config.json and config.json say of a model: for information, for finding its file and for sizes it only names. */
const configSchema = z.looseObject({
  filename: z.string().max(1024).optional().catch(undefined),
  maxPositions: size.nullable().catch(null),
  layers: size.nullable().catch(null),
  queryWidth: size.nullable().catch(null),
  kvHeads: size.nullable().catch(null),
  headSize: size.nullable().catch(null),
  vocabularySize: size.nullable().catch(null),
  longropeFrom: size.nullable().catch(null),
});

export type ExportConfig = Readonly<z.infer<typeof configSchema>>;

export interface ExportFile {
  readonly path: string;
  /** Other ONNX files of the folder, which were not taken. */
  readonly others: readonly string[];
  readonly config: ExportConfig;
  readonly model: ModelProto;
  /** The ONNX file and the data files it names, in order of name. */
  readonly files: readonly ModelFile[];
  /** Folder that the locations in `model` are relative to. */
  readonly weightsFolder: string;
}

/** Names that exporters give a whole decoder; one with its cache in a branch comes last. */
const wholeNames: readonly string[] = ['model', 'decoder_model', 'decoder_model_merged'];
/**
 * What transformers.js appends for each precision, the exact ones first. Its 8-bit files (quantized, int8, uint8) round
 * activations by what a batch holds, and are taken only where they are alone: to be refused by their own reason.
 */
const precisions: readonly string[] = ['', '_fp16', '_q4', '_q4f16', '_bnb4'];
const usualNames = precisions.flatMap((suffix) => wholeNames.map((name) => `${name}${suffix}.onnx`));
const maxConfigBytes = 16 * 2 ** 20;
/** Protobuf's own limit; larger models keep their weights in data files. */
const maxGraphBytes = 2 ** 31 - 1;

/** Whether a folder holds an ONNX export and no checkpoint that we could build a graph for ourselves. */
export async function isOnnxExport(folder: string): Promise<boolean> {
  if (
    existsSync(join(folder, 'model.safetensors')) ||
    existsSync(join(folder, 'model.safetensors.index.json'))
  )
    return false;
  return existsSync(join(folder, 'genai_config.json')) || (await onnxFiles(folder)).length > 0;
}

/** ONNX files in the folder or, as optimum and the hub lay them out, in its `onnx` folder. */
async function onnxFiles(folder: string): Promise<string[]> {
  for (const place of ['', 'onnx']) {
    const names = await readdir(join(folder, place)).catch(() => []);
    const found = names.filter((name) => name.endsWith('.onnx')).sort();
    if (found.length > 0) return found.map((name) => join(place, name));
  }
  return [];
}

/**
 * Opens the export in `folder`.
 * @throws fatal `onnx-no-file`, `onnx-unreadable`, `onnx-data-file`.
 */
export async function openExport(folder: string): Promise<ExportFile> {
  const config = await readConfig(folder);
  const { name, others } = await findFile(folder, config);
  const path = join(folder, name);
  const own = await modelFile(folder, name);
  const model = await readModel(path);
  if (model.graph !== undefined) normalise(model.graph, path);
  const { files, weightsFolder } = await placeWeights(model, path);
  return { path, others, config, model, weightsFolder, files: [own, ...files] };
}

async function findFile(
  folder: string,
  { filename }: ExportConfig,
): Promise<{ name: string; others: readonly string[] }> {
  const found = await onnxFiles(folder);
  const choose = (name: string) => ({ name, others: found.filter((each) => each !== name) });
  if (filename !== undefined) {
    if (found.includes(filename)) return choose(filename);
    throw fatalError(
      'onnx-no-file',
      `${join(folder, 'genai_config.json')}: names the decoder ${JSON.stringify(filename)}, which is not in the folder; fetch the whole export`,
    );
  }
  const usual = usualNames.flatMap((name) => found.filter((path) => basename(path) === name));
  const [only] = found.length === 1 ? found : usual;
  if (only !== undefined) return choose(only);
  throw fatalError(
    'onnx-no-file',
    `${folder}: holds ${found.length === 0 ? 'no ONNX file' : found.join(', ')}; expected model.onnx: leave one model in the folder`,
  );
}

async function readConfig(folder: string): Promise<ExportConfig> {
  const plain = z.looseObject({}).safeParse(await readJson(join(folder, 'config.json')));
  const c = plain.success ? plain.data : {};
  const longropeFrom = longropeOf(c);
  const genai = await readJson(join(folder, 'genai_config.json'));
  const inside = z.looseObject({ model: z.looseObject({ decoder: z.looseObject({}) }) }).safeParse(genai);
  if (inside.success) {
    const { model } = inside.data;
    const { decoder } = model;
    return configSchema.parse({
      filename: decoder['filename'],
      maxPositions: model['context_length'],
      layers: decoder['num_hidden_layers'],
      queryWidth: Number(decoder['num_attention_heads']) * Number(decoder['head_size']),
      kvHeads: decoder['num_key_value_heads'] ?? decoder['num_attention_heads'],
      headSize: decoder['head_size'],
      vocabularySize: model['vocab_size'],
      longropeFrom,
    });
  }
  const hidden = c['hidden_size'] ?? c['n_embd'];
  const heads = c['num_attention_heads'] ?? c['n_head'];
  return configSchema.parse({
    maxPositions: c['max_position_embeddings'] ?? c['n_positions'],
    layers: c['num_hidden_layers'] ?? c['n_layer'],
    queryWidth: typeof c['head_dim'] === 'number' ? c['head_dim'] * Number(heads) : hidden,
    kvHeads: c['num_key_value_heads'] ?? heads,
    headSize: c['head_dim'] ?? Number(hidden) / Number(heads),
    vocabularySize: c['vocab_size'],
    longropeFrom,
  });
}

/** Rows beyond this length have other rotary frequencies, by config.json; null where all have the same. */
function longropeOf(config: Readonly<Record<string, unknown>>): unknown {
  const {
    rope_parameters: parameters,
    rope_scaling: scaling,
    original_max_position_embeddings: outside,
  } = config;
  const { data } = z.looseObject({}).safeParse(parameters ?? scaling);
  if (data === undefined || !['longrope', 'su'].includes(String(data['rope_type'] ?? data['type'])))
    return null;
  return data['original_max_position_embeddings'] ?? outside ?? null;
}

/** null when absent or unusable: these files only inform. */
async function readJson(path: string): Promise<unknown> {
  try {
    return parseJson(await readText(path, maxConfigBytes));
  } catch {
    return null;
  }
}

/** @throws fatal `onnx-unreadable` */
export async function readModel(path: string): Promise<ModelProto> {
  const found = await stat(path);
  const { size: bytes } = found;
  const refuse = (found: string, cause?: unknown): never => {
    throw fatalError(
      'onnx-unreadable',
      `${path}: ${found}; expected an ONNX model: fetch or export it again`,
      { cause },
    );
  };
  if (!found.isFile()) return refuse('is not a plain file');
  if (bytes > maxGraphBytes) return refuse(`has ${bytes} bytes, more than protobuf allows`);
  let model: ModelProto;
  try {
    model = decodeModel(await readFile(path));
  } catch (error) {
    return refuse(`is not a protobuf message of ONNX that can be read (${firstLine(error)})`, error);
  }
  if (model.graph === undefined || model.graph.output.length === 0) return refuse('holds no graph');
  const opset = opsetOf(model);
  if (opset < 11) return refuse(`is of operator set ${opset}, older than 11`);
  return model;
}

/** Version of ONNX's own operators that a model is written in; 0 when it names none. */
export const opsetOf = ({ opsetImport }: ModelProto): number =>
  Number(opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0n);

/** Checks the data files that a model names, and rewrites their locations relative to `weightsFolder`. */
async function placeWeights(
  model: ModelProto,
  path: string,
): Promise<Pick<ExportFile, 'files' | 'weightsFolder'>> {
  const external = (model.graph?.initializer ?? []).filter(
    ({ dataLocation }) => dataLocation === DataLocation.EXTERNAL,
  );
  refuseHiddenData(model, external.length, path);
  const files = new Map<string, ModelFile & { readonly bytes: number }>();
  for (const tensor of external) {
    checkFields(tensor, path);
    const location = externalField(tensor, 'location');
    const file = files.get(location) ?? (await findDataFile(path, tensor.name, location));
    files.set(location, file);
    const end = Number(externalField(tensor, 'offset')) + Number(externalField(tensor, 'length'));
    if (!(end <= file.bytes)) {
      throw fatalError(
        'onnx-data-file',
        `${file.path}: has ${file.bytes} bytes, but ${tensor.name} ends at ${end}; fetch the whole export`,
      );
    }
  }
  const weightsFolder =
    files.size === 0
      ? dirname(await realpath(path))
      : commonFolder([...files.values()].map((file) => file.path));
  for (const tensor of external) {
    for (const field of tensor.externalData) {
      const file = field.key === 'location' ? files.get(field.value) : undefined;
      if (file !== undefined) field.value = relative(weightsFolder, file.path).split(sep).join('/');
    }
  }
  return { files: [...files.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), weightsFolder };
}

/** ONNX Runtime reads the tensors of nodes and subgraphs from files too, and looks for these by itself. */
function refuseHiddenData(model: ModelProto, initializers: number, path: string): void {
  const all = countExternal(model, 0);
  if (all === initializers) return;
  throw fatalError(
    'onnx-data-file',
    `${path}: ${all - initializers} of its tensors in nodes or subgraphs are in data files; expected only initializers of the whole graph there: export it again`,
  );
}

/** Tensors anywhere in a message that are in data files. */
function countExternal(message: unknown, depth: number): number {
  if (typeof message !== 'object' || message === null || ArrayBuffer.isView(message) || depth > 256) return 0;
  const { $typeName: type, dataLocation } = message as { $typeName?: unknown; dataLocation?: unknown };
  if (type === 'onnx.TensorProto') return dataLocation === DataLocation.EXTERNAL ? 1 : 0;
  let found = 0;
  for (const inner of Object.values(message)) found += countExternal(inner, depth + 1);
  return found;
}

/** One file, and a place in it that is made of whole numbers: ONNX Runtime takes a field's last value, and any sign. */
function checkFields({ name, externalData }: TensorProto, path: string): void {
  const keys = externalData.map(({ key }) => key);
  const bad = externalData.find(
    ({ key, value }) => (key === 'offset' || key === 'length') && !/^\d{1,15}$/.test(value),
  );
  if (bad === undefined && new Set(keys).size === keys.length) return;
  throw fatalError(
    'onnx-data-file',
    `${path}: keeps ${name} at ${bad === undefined ? 'two places at once' : `${bad.key} ${JSON.stringify(bad.value)}`}; expected one location, offset and length in bytes: export it again`,
  );
}

const externalField = (tensor: TensorProto, key: string): string =>
  tensor.externalData.find((field) => field.key === key)?.value ?? '0';

async function findDataFile(
  path: string,
  tensor: string,
  location: string,
): Promise<ModelFile & { bytes: number }> {
  const refuse = (found: string): never => {
    throw fatalError(
      'onnx-data-file',
      `${path}: keeps ${tensor} in ${JSON.stringify(location)}, ${found}; expected a data file beside it: fetch the whole export`,
    );
  };
  const inside = !isAbsolute(location) && !/[\\\0]/.test(location) && !location.split('/').includes('..');
  if (!inside) return refuse('outside of its folder');
  const file = join(dirname(path), location);
  if (!existsSync(file) || !(await stat(file)).isFile()) return refuse('which is missing');
  const real = await realpath(file);
  // Any bytes will do as weights. A link may lead to where the model itself lies, as in a download cache, not elsewhere.
  const folders = [await realpath(dirname(path)), dirname(await realpath(path))];
  if (!folders.some((folder) => real.startsWith(folder.endsWith(sep) ? folder : folder + sep)))
    return refuse('a link that leads out of its folder');
  return { ...(await modelFile(dirname(path), location)), bytes: (await stat(real)).size };
}
