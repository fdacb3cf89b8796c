/** A Hugging Face checkpoint folder: config.json and where each tensor lies. Read-only; nothing is trusted. */
import { join } from 'node:path';
import { fatalError } from '../errors.js';
import { type Configuration, readConfiguration } from './configuration.js';
import { type ModelFile, modelFile } from './model-file.js';
import { refuseAdapter } from './peft-adapter.js';
import type { TensorEntry } from './safetensors.js';
import { assignTensors, type OtherTensors, unusedWarning } from './tensors.js';
import { leadingFile, readWeightFiles, WEIGHTS_NAME } from './weight-files.js';

const CONFIG_NAME = 'config.json';

export interface Checkpoint extends Configuration {
  readonly folder: string;
  /** By the decoder's names for its parameters; `file` of each is a real path. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly others: OtherTensors;
  /** `.safetensors` files in the folder that are none of the checkpoint's. */
  readonly unread: readonly string[];
  /** What a run says of the checkpoint, one line each: contradictions, tensors that are not used, an index that is wrong. */
  readonly warnings: readonly string[];
  /** config.json, weight files and their index, in order of name. */
  readonly files: readonly ModelFile[];
}

/**
 * Opens a checkpoint folder: every parameter has its tensor, of the right shape and type, and nothing in the folder says
 * that the model is another one. Bytes of tensors are read only where two might be one (a tied head that was saved).
 * @throws fatal `no-checkpoint`; errors of `readConfiguration`, `refuseAdapter`, `readWeightFiles` and `assignTensors`
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  // Before it is read. What is no file is told by whoever reads it.
  const own = await modelFile(folder, CONFIG_NAME).catch(() => null);
  const configuration = await readConfiguration(join(folder, CONFIG_NAME));
  const { decoder, config, notes } = configuration;
  await refuseAdapter(folder);
  const first = leadingFile(folder, config);
  if (first === null)
    throw fatalError(
      'no-checkpoint',
      `${folder}: has config.json but no ${WEIGHTS_NAME}; fetch the weights too`,
    );
  const { files, tensors: found, unread, warnings } = await readWeightFiles(folder, first);
  const { tensors, others } = await assignTensors(folder, decoder, found);
  return {
    ...configuration,
    folder,
    tensors,
    others,
    unread,
    warnings: [...notes.map((note) => `${folder}: ${note}`), ...warnings, ...unusedWarning(folder, others)],
    files: [own ?? (await modelFile(folder, CONFIG_NAME)), ...files].sort((a, b) =>
      a.name < b.name ? -1 : 1,
    ),
  };
}
