/** A Hugging Face checkpoint folder: config.json and where each tensor lies. Read-only; nothing is trusted. */
import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fatalError } from '../errors.js';
import { type Configuration, readConfiguration, readJson } from './configuration.js';
import { readSafetensorsHeader, type TensorEntry } from './safetensors.js';

/** A file that defines the model: its name in the folder, and its real path behind any links. */
export interface CheckpointFile {
  readonly name: string;
  readonly path: string;
}

export interface Checkpoint extends Configuration {
  readonly folder: string;
  /** By name; `file` of each is a real path. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** config.json, weight files and their index, in order of name. */
  readonly files: readonly CheckpointFile[];
}

const maxIndexBytes = 256 * 2 ** 20;

const weightsName = 'model.safetensors';
const indexName = 'model.safetensors.index.json';

/**
 * Opens a checkpoint folder and checks it as far as its header goes.
 * @throws fatal `no-checkpoint`, `pickle-checkpoint`, those of `readConfiguration`, `bad-weight-index`, `broken-safetensors`, `missing-shard`.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const configPath = join(folder, 'config.json');
  if (!existsSync(configPath)) {
    throw fatalError(
      'no-checkpoint',
      `${folder}: has no config.json; expected a Hugging Face checkpoint (config.json and model.safetensors) or an ONNX export: check the path`,
    );
  }
  const configuration = await readConfiguration(configPath);
  const { names, tensors } = await findTensors(folder);
  const files = await Promise.all(
    ['config.json', ...names]
      .sort()
      .map(async (name) => ({ name, path: await realpath(join(folder, name)) })),
  );
  return { ...configuration, folder, tensors, files };
}

async function findTensors(
  folder: string,
): Promise<{ names: string[]; tensors: ReadonlyMap<string, TensorEntry> }> {
  if (existsSync(join(folder, weightsName))) {
    const entries = await readSafetensorsHeader(await realpath(join(folder, weightsName)));
    return { names: [weightsName], tensors: new Map(entries.map((entry) => [entry.name, entry])) };
  }
  if (existsSync(join(folder, indexName))) return findShardedTensors(folder);
  if (
    existsSync(join(folder, 'pytorch_model.bin')) ||
    existsSync(join(folder, 'pytorch_model.bin.index.json'))
  ) {
    throw fatalError(
      'pickle-checkpoint',
      `${folder}: holds its weights as pickle (pytorch_model.bin), which can run code when it is read; expected ${weightsName}: save it with transformers' save_pretrained(safe_serialization=True)`,
    );
  }
  throw fatalError(
    'no-checkpoint',
    `${folder}: has config.json but no ${weightsName} or ${indexName}; fetch the whole checkpoint`,
  );
}

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string().max(1024)) });

async function findShardedTensors(
  folder: string,
): Promise<{ names: string[]; tensors: ReadonlyMap<string, TensorEntry> }> {
  const indexPath = join(folder, indexName);
  const parsed = indexSchema.safeParse(await readJson(indexPath, maxIndexBytes, 'bad-weight-index'));
  if (!parsed.success) {
    throw fatalError('bad-weight-index', `${indexPath}: has no weight_map of tensor to file; fetch it again`);
  }
  const shardOf = new Map(Object.entries(parsed.data.weight_map));
  const shards = [...new Set(shardOf.values())].sort();
  const tensors = new Map<string, TensorEntry>();
  for (const shard of shards) {
    for (const entry of await readShard(folder, indexPath, shard)) {
      if (shardOf.get(entry.name) === shard) tensors.set(entry.name, entry);
    }
  }
  for (const [name, shard] of shardOf) {
    if (tensors.has(name)) continue;
    throw fatalError(
      'missing-tensor',
      `${join(folder, shard)}: does not hold tensor ${name} that ${indexName} places there; fetch the checkpoint again`,
    );
  }
  return { names: [indexName, ...shards], tensors };
}

async function readShard(folder: string, indexPath: string, shard: string): Promise<TensorEntry[]> {
  const plain = shard !== '' && shard !== '.' && shard !== '..' && !/[/\\\0]/.test(shard);
  if (!plain) {
    throw fatalError(
      'bad-weight-index',
      `${indexPath}: names the weight file ${JSON.stringify(shard)}; expected a file name in the same folder: do not use this checkpoint`,
    );
  }
  const path = join(folder, shard);
  if (!existsSync(path)) {
    throw fatalError(
      'missing-shard',
      `${path}: is missing but ${indexName} names it; fetch the whole checkpoint`,
    );
  }
  return readSafetensorsHeader(await realpath(path));
}
