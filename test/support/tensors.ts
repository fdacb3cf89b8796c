import { readSafetensorsHeader } from '#tokensieve/model/safetensors.js';
import { readTensor } from '#tokensieve/model/tensor-data.js';

/** All tensors of a .safetensors file by name, as the package reads each. */
export async function readTensors(path: string): Promise<ReadonlyMap<string, Float32Array>> {
  const tensors = new Map<string, Float32Array>();
  for (const entry of await readSafetensorsHeader(path)) {
    const target = new Float32Array(entry.shape.reduce((product, size) => product * size, 1));
    await readTensor(entry, target);
    tensors.set(entry.name, target);
  }
  return tensors;
}
