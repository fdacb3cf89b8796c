/** What a model's folder says of what older rules did not read. Headers and configurations; of weights at most two tensors. */
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { openExport } from '../model/onnx-export-file.js';
import { readSafetensorsHeader, type TensorEntry } from '../model/safetensors.js';
import type { Config, GraphFacts, Known, ModelFacts } from './facts.js';
import { isObject, readObject } from './read-json.js';

/** @param folder a checkpoint or an ONNX export; null where nothing says where it was */
export async function readModelFacts(role: string, folder: string | null): Promise<Known<ModelFacts>> {
  if (folder === null) return { missing: `nothing says where the ${role} model was` };
  const tensors = await readTensors(folder);
  const graph = tensors === null ? await readGraph(folder) : null;
  if (tensors === null && graph === null) return { missing: `${folder} holds no model any more` };
  const config = (await readObject(join(folder, 'config.json'))) ?? {};
  return {
    folder,
    config,
    tensors: new Set(tensors?.keys()),
    ownHead: tensors === null ? null : await ownHead(tensors),
    adapter: tensors !== null && existsSync(join(folder, 'adapter_config.json')),
    graph,
  };
}

async function readTensors(folder: string): Promise<ReadonlyMap<string, TensorEntry> | null> {
  const index: Config | null = await readObject(join(folder, 'model.safetensors.index.json'));
  const names =
    index !== null && isObject(index['weight_map'])
      ? [...new Set(Object.values(index['weight_map']))].filter((name) => typeof name === 'string')
      : ['model.safetensors'];
  const tensors = new Map<string, TensorEntry>();
  for (const name of names) {
    const path = join(folder, name);
    if (!existsSync(path)) continue;
    const entries = await readSafetensorsHeader(path).catch(() => []);
    for (const entry of entries) tensors.set(entry.name, entry);
  }
  return tensors.size === 0 ? null : tensors;
}

/** Dynamic quantisation: scales are those of the values at hand, which a batch shares. */
const DYNAMIC = /^(?:DynamicQuantize|MatMulInteger|ConvInteger)/;

async function readGraph(folder: string): Promise<GraphFacts | null> {
  const found = await openExport(folder).catch(() => null);
  if (found === null) return null;
  const nodes = found.model.graph?.node ?? [];
  return {
    dynamic: [...new Set(nodes.map(({ opType }) => opType).filter((type) => DYNAMIC.test(type)))],
    ropeSwitch: nodes.some(
      ({ opType, output }) => opType === 'If' && output.some((name) => /(?:cos|sin)_cache/.test(name)),
    ),
  };
}

const HEADS = ['lm_head.weight', 'embed_out.weight'];
const EMBEDDINGS = [
  'model.embed_tokens.weight',
  'transformer.wte.weight',
  'wte.weight',
  'gpt_neox.embed_in.weight',
];

async function ownHead(tensors: ReadonlyMap<string, TensorEntry>): Promise<ModelFacts['ownHead']> {
  const [head, embedding] = [HEADS, EMBEDDINGS].map((names) =>
    names.map((name) => tensors.get(name)).find((entry) => entry !== undefined),
  );
  if (head === undefined || embedding === undefined || (await sameBytes(head, embedding))) return null;
  return [head.name, embedding.name];
}

/** Bytes compared at once. */
const WINDOW = 1 << 22;

async function sameBytes(a: TensorEntry, b: TensorEntry): Promise<boolean> {
  if (a.length !== b.length || a.type !== b.type) return false;
  const files = [await open(a.file), await open(b.file)] as const;
  try {
    const buffers = [Buffer.alloc(WINDOW), Buffer.alloc(WINDOW)] as const;
    for (let at = 0; at < a.length; at += WINDOW) {
      const size = Math.min(WINDOW, a.length - at);
      await files[0].read(buffers[0], 0, size, a.offset + at);
      await files[1].read(buffers[1], 0, size, b.offset + at);
      if (!buffers[0].subarray(0, size).equals(buffers[1].subarray(0, size))) return false;
    }
    return true;
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}
