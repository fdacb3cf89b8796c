/** PEFT adapters: a change to a base model's weights, kept beside them or by itself. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fatalError } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { readText } from '../storage/read-text.js';

const CONFIG_NAME = 'adapter_config.json';
const isWeights = (name: string): boolean => /^adapter_model\.(safetensors|bin)$/.test(name);

/** Names of an adapter's files among those of a folder. */
export const adapterFiles = (names: readonly string[]): string[] =>
  names.filter((name) => name === CONFIG_NAME || isWeights(name));

/** Kinds that put vectors before a text or into its attention, and have nothing to add to the weights. */
const unmergeable =
  /^(PROMPT_TUNING|MULTITASK_PROMPT_TUNING|P_TUNING|PREFIX_TUNING|ADAPTION_PROMPT|CPT|CARTRIDGE|XLORA)$/;

interface AdapterWords {
  /** What it is, by its adapter_config.json: `PEFT adapter (LORA) of org/base`. */
  readonly what: string;
  /** Whether it can be made a part of its base's weights. */
  readonly merges: boolean;
}

/** For messages alone. */
export async function describeAdapter(folder: string): Promise<AdapterWords> {
  const config = await readText(join(folder, CONFIG_NAME), 2 ** 20)
    .then(parseJson)
    .catch(() => null);
  const text = (key: string): string => {
    const value = (config as Readonly<Record<string, unknown>> | null)?.[key];
    return typeof value === 'string' ? value.slice(0, 200) : '';
  };
  const base = text('base_model_name_or_path');
  const type = text('peft_type');
  return {
    what: `PEFT adapter${type === '' ? '' : ` (${type})`}${base === '' ? '' : ` of ${base}`}`,
    merges: !unmergeable.test(type),
  };
}

/**
 * Refuses an adapter beside a model: transformers adds it to the weights, and the weights alone are another model.
 * @throws fatal `adapter-beside-model`
 */
export async function refuseAdapter(folder: string): Promise<void> {
  const files = adapterFiles(await readdir(folder).catch((): string[] => []));
  if (files.length === 0) return;
  const { what, merges } = await describeAdapter(folder);
  throw fatalError(
    'adapter-beside-model',
    `${folder}: holds ${files.join(' and ')} beside the model, a ${what}, which transformers ${merges ? 'adds to the weights' : 'puts around the model'} when it loads the folder; expected one model: ` +
      (merges
        ? "merge it (peft's merge_and_unload, then save_pretrained into an empty folder), or move the adapter's files away if they are merged already"
        : "this kind cannot be merged into the weights; move the adapter's files away if the model without it is meant"),
  );
}
