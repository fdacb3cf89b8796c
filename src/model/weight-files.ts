/** A checkpoint's weight files: which ones transformers would read, and every tensor in them. Nothing is trusted. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fatalError, firstLine } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { readText } from '../storage/read-text.js';
import { refuseLfsPointer } from './lfs-pointer.js';
import { type ModelFile, modelFile } from './model-file.js';
import { readSafetensorsHeader, type TensorEntry } from './safetensors.js';
import { sameNumbers } from './tensor-equality.js';

export const WEIGHTS_NAME = 'model.safetensors';
export const INDEX_NAME = 'model.safetensors.index.json';
const maxIndexBytes = 256 * 2 ** 20;

export interface WeightFiles {
  /** Files that were read, the index among them. */
  readonly files: readonly ModelFile[];
  /** By the names in the files; `file` of each is a real path. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** `.safetensors` files in the folder that were not read. */
  readonly unread: readonly string[];
  /** One line each. */
  readonly warnings: readonly string[];
}

/**
 * The file that leads to the weights: what config.json's `transformers_weights` names, else model.safetensors, else the
 * index of shards. So does transformers 5.24. null where there is none of them.
 * @throws fatal `bad-config` where `transformers_weights` names no such file of the folder
 */
export function leadingFile(folder: string, config: Readonly<Record<string, unknown>>): string | null {
  const named = config['transformers_weights'];
  if (named === undefined || named === null)
    return [WEIGHTS_NAME, INDEX_NAME].find((name) => existsSync(join(folder, name))) ?? null;
  const usable =
    typeof named === 'string' && isPlainName(named) && /\.safetensors(\.index\.json)?$/.test(named);
  if (usable && existsSync(join(folder, named))) return named;
  throw fatalError(
    'bad-config',
    `${join(folder, 'config.json')}: field transformers_weights names ${JSON.stringify(named)}; expected a .safetensors file or index in the same folder: fetch it, or take the field out if ${WEIGHTS_NAME} is meant`,
  );
}

/**
 * Reads the headers of the weight files.
 * @param first as `leadingFile` gives it
 * @throws fatal `bad-weight-index`, `missing-shard`, `broken-safetensors`, `duplicate-tensor`, `git-lfs-pointer`
 */
export async function readWeightFiles(folder: string, first: string): Promise<WeightFiles> {
  const inFolder = (await readdir(folder).catch((): string[] => []))
    .filter((name) => name.endsWith('.safetensors'))
    .sort();
  if (first.endsWith('.safetensors')) {
    const file = await modelFile(folder, first);
    const entries = await readSafetensorsHeader(file.path);
    const unread = inFolder.filter((name) => name !== first);
    return {
      files: [file],
      tensors: byName(entries),
      unread,
      warnings: unreadWarnings(folder, first, unread),
    };
  }
  return readSharded(folder, first, inFolder);
}

/**
 * What is said of `.safetensors` files that transformers would not read either. Nothing of those that are the same model again
 * in another form: Mistral's own, and variants.
 */
function unreadWarnings(folder: string, first: string, unread: readonly string[]): string[] {
  const others = unread.filter(
    (name) => !/^consolidated|^model\.[A-Za-z]\w*(-\d+-of-\d+)?\.safetensors$/.test(name),
  );
  const more = others.length > 1 ? ` and ${others.length - 1} more` : '';
  return others.length === 0
    ? []
    : [
        `${folder}: ${others[0]}${more} beside ${first} is not read, as transformers does not read it; remove what is not meant`,
      ];
}

const byName = (entries: readonly TensorEntry[]): Map<string, TensorEntry> =>
  new Map(entries.map((entry) => [entry.name, entry]));

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string().max(1024)) });

/** The index says which files there are; what is in them, they say themselves, as for transformers. */
async function readSharded(
  folder: string,
  indexName: string,
  inFolder: readonly string[],
): Promise<WeightFiles> {
  const indexPath = join(folder, indexName);
  const files = [await modelFile(folder, indexName)];
  const parsed = indexSchema.safeParse(await readIndex(indexPath));
  if (!parsed.success) {
    throw fatalError('bad-weight-index', `${indexPath}: has no weight_map of tensor to file; fetch it again`);
  }
  const shardOf = new Map(Object.entries(parsed.data.weight_map));
  const shards = [...new Set(shardOf.values())].sort();
  const tensors = new Map<string, TensorEntry>();
  const place = new Map<string, string>();
  for (const shard of shards) {
    const file = await findShard(folder, indexPath, shard);
    files.push(file);
    for (const entry of await readSafetensorsHeader(file.path)) {
      const other = tensors.get(entry.name);
      if (other !== undefined && !(await sameNumbers(other, entry))) {
        throw fatalError(
          'duplicate-tensor',
          `${folder}: ${place.get(entry.name)} and ${shard} both hold tensor ${entry.name}, with different numbers; which one is meant cannot be told: fetch the checkpoint again, or remove the file that is not of it`,
        );
      }
      if (other !== undefined) continue;
      tensors.set(entry.name, entry);
      place.set(entry.name, shard);
    }
  }
  const unread = inFolder.filter((name) => !shards.includes(name));
  return {
    files,
    tensors,
    unread,
    warnings: [...indexWarnings(indexPath, shardOf, place), ...unreadWarnings(folder, indexName, unread)],
  };
}

/** Where the index and the files differ. The files count; a tensor that is nowhere is missed where it is needed. */
function indexWarnings(
  indexPath: string,
  shardOf: ReadonlyMap<string, string>,
  place: ReadonlyMap<string, string>,
): string[] {
  const differing: readonly (readonly [string, readonly string[]])[] = [
    ['no file holds, though it places it', [...shardOf.keys()].filter((name) => !place.has(name))],
    [
      'lies in another file than it says',
      [...shardOf].flatMap(([name, shard]) => (place.has(name) && place.get(name) !== shard ? [name] : [])),
    ],
    ['is in the files and not in it', [...place.keys()].filter((name) => !shardOf.has(name))],
  ];
  return differing.flatMap(([what, names]) =>
    names.length === 0
      ? []
      : [
          `${indexPath}: tensor ${names[0]}${names.length === 1 ? '' : ` and ${names.length - 1} more`} ${what}; the files are read as they are`,
        ],
  );
}

async function readIndex(path: string): Promise<unknown> {
  await refuseLfsPointer(path);
  const text = await readText(path, maxIndexBytes).catch((error: unknown) => {
    throw fatalError('bad-weight-index', `${path}: ${firstLine(error)}; fetch the checkpoint again`, {
      cause: error,
    });
  });
  try {
    return parseJson(text);
  } catch (error) {
    throw fatalError('bad-weight-index', `${path}: is not JSON; fetch the checkpoint again`, {
      cause: error,
    });
  }
}

const isPlainName = (name: string): boolean =>
  name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name);

async function findShard(folder: string, indexPath: string, shard: string): Promise<ModelFile> {
  if (!isPlainName(shard)) {
    throw fatalError(
      'bad-weight-index',
      `${indexPath}: names the weight file ${JSON.stringify(shard)}; expected a file name in the same folder: do not use this checkpoint`,
    );
  }
  const path = join(folder, shard);
  if (!existsSync(path)) {
    throw fatalError(
      'missing-shard',
      `${path}: is missing but the weight index names it; fetch the whole checkpoint`,
    );
  }
  return modelFile(folder, shard);
}
