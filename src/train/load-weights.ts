/** Parameters of a checkpoint as the trainer's flat vectors. */
import { fatalError } from '../errors.js';
import type { Checkpoint } from '../model/checkpoint.js';
import type { TensorEntry } from '../model/safetensors.js';
import { readTensor } from '../model/tensor-data.js';
import { elementsOf, emptyVectors, type Parameter, type ParameterVectors } from './parameters.js';

/**
 * The weights to start training from, F16 and BF16 widened exactly. Each tensor is read straight into its place.
 * @throws fatal `missing-tensor`, `wrong-shape`, `unknown-weight-type`, naming the tensor
 */
export const loadWeights = (
  checkpoint: Pick<Checkpoint, 'folder' | 'tensors'>,
  parameters: readonly Parameter[],
): Promise<ParameterVectors> => readVectors(checkpoint.folder, checkpoint.tensors, parameters);

/** The same from tensors that have the first of `namesOf(parameter)` that is there. `place` is named where none is. */
export async function readVectors(
  place: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  parameters: readonly Parameter[],
  namesOf: (name: string) => readonly string[] = (name) => [name],
): Promise<ParameterVectors> {
  const found = parameters.map((parameter) => ({
    parameter,
    entry: entryOf(place, tensors, namesOf(parameter.name), parameter.shape),
  }));
  const vectors = emptyVectors(parameters);
  for (const { parameter, entry } of found) await readTensor(entry, elementsOf(vectors, parameter));
  return vectors;
}

function entryOf(
  place: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  names: readonly string[],
  shape: readonly number[],
): TensorEntry {
  const [name = ''] = names;
  const entry = names.flatMap((one) => tensors.get(one) ?? [])[0];
  if (entry === undefined) {
    throw fatalError(
      'missing-tensor',
      `${place}: tensor ${name} is missing; expected it with shape [${shape}]: fetch the whole checkpoint, or check that config.json belongs to it`,
    );
  }
  if (entry.shape.length !== shape.length || entry.shape.some((size, axis) => size !== shape[axis])) {
    throw fatalError(
      'wrong-shape',
      `${entry.file}: tensor ${name} has shape [${entry.shape}]; the model in training has [${shape}]: check that the two belong together`,
    );
  }
  return entry;
}
