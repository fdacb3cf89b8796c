/** ONNX exports: reading, rewriting, inspecting. Sessions: the target `session`. */
import { join } from 'node:path';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { prepareModel } from '#tokensieve/model/prepare.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { change } from '../bytes.mjs';
import { changeJson } from '../json.mjs';
import { changeModel } from '../onnx-changes.mjs';
import { Find, resultOf, workFolder } from '../support.mjs';

export const name = 'onnx';
const storage = localStorage();

export function make(draw) {
  const files = changeModel(draw);
  for (const config of ['config.json', 'genai_config.json']) {
    if (!files[config] || draw.chance(0.7)) continue;
    const text = changeJson(draw, JSON.parse(String(files[config])), draw.small(4));
    files[config] = draw.chance(0.1) ? change(draw, Buffer.from(text)) : Buffer.from(text);
  }
  return { files };
}

/** Verdicts are remembered there: an input is probed once. */
const cacheFolder = () => join(workFolder(), 'cache');

export async function prepared(folder, entropy = false) {
  const settings = { device: 'cpu', attention: 'across', entropy, cacheFolder: cacheFolder() };
  const result = await resultOf(() => prepareModel(folder, settings));
  // A folder of the system is no place for weights: the graph would let ONNX Runtime read from all of it.
  const { weightsFolder } = result.value ?? {};
  if (weightsFolder !== undefined && !`${weightsFolder}/`.startsWith(`${folder}/`))
    throw new Find('escape', `weights are looked for in ${weightsFolder}`);
  return result;
}

export async function run(folder) {
  const outcomes = [(await prepared(folder)).outcome, (await prepared(folder, true)).outcome];
  outcomes.push((await resultOf(() => inspect(folder, { storage, cacheFolder: cacheFolder() }))).outcome);
  outcomes.push(
    (await resultOf(() => inspect(join(folder, 'model.onnx'), { storage, cacheFolder: cacheFolder() })))
      .outcome,
  );
  return outcomes;
}
