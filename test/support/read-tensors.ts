import { readSafetensorsHeader } from '#tokensieve/model/safetensors.js';
import { readTensor } from '#tokensieve/model/tensor-data.js';

/** Tensors of one .safetensors file by name, all of them unless `names` says which. */
export async function readTensors(
  path: string,
  names?: readonly string[],
): Promise<ReadonlyMap<string, Float32Array>> {
  const tensors = new Map<string, Float32Array>();
  for (const entry of await readSafetensorsHeader(path)) {
    if (names?.includes(entry.name) === false) continue;
    const target = new Float32Array(entry.shape.reduce((product, size) => product * size, 1));
    await readTensor(entry, target);
    tensors.set(entry.name, target);
  }
  return tensors;
}
