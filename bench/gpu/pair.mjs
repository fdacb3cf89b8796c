/** The two models of a size: of one family, as a reference and a current model are, so that excess losses are small. */
import { join } from 'node:path';
import { writeRandomLlama } from '../support/random-checkpoint.mjs';

const REFERENCE = { seed: 1 };
const CURRENT = { seed: 2, near: { seed: 1, distance: 0.25 } };

/**
 * Writes both checkpoints below `work` unless they are there.
 * @param {string} work @param {string} size @param {Record<string, any>} shape fields of config.json
 * @returns {Promise<{ reference: string, current: string }>} their folders
 */
export async function writePair(work, size, shape) {
  const [reference, current] = [join(work, `${size}-reference`), join(work, `${size}-current`)];
  await writeRandomLlama(reference, shape, REFERENCE);
  await writeRandomLlama(current, shape, CURRENT);
  return { reference, current };
}

/**
 * The current model with one wrong row of weights.
 * @param {string} work @param {string} size @param {Record<string, any>} shape
 */
export async function writeFaulty(work, size, shape) {
  const folder = join(work, `${size}-current-faulty`);
  await writeRandomLlama(folder, shape, { ...CURRENT, perturb: true });
  return folder;
}
