/** Folders that are no model as they lie, by their names: what was found, and what would take it. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { besideWeights, expected, filesLike, named, type Rule } from './folder-rule.js';
import { foreignFormats } from './foreign-formats.js';

/** A numbered folder with the highest number, or null. */
function newest(folders: readonly string[], pattern: RegExp): string | null {
  const numbered = folders.flatMap((name) => {
    const number = pattern.exec(name)?.[1];
    return number === undefined ? [] : [{ name, number: Number(number) }];
  });
  return numbered.sort((a, b) => b.number - a.number)[0]?.name ?? null;
}

/** In order: the first that matches speaks. */
export const folderRules: readonly Rule[] = [
  [
    'empty-folder',
    ({ files, folders }) =>
      files.length + folders.length === 0 ? `is empty; ${expected}: fetch the model into it` : null,
  ],
  [
    'hub-cache',
    async ({ folder, name, folders }) => {
      if (!folders.includes('snapshots')) return null;
      const main = await readFile(join(folder, 'refs', 'main'), 'utf8').catch(() => '');
      const all = await readdir(join(folder, 'snapshots')).catch((): string[] => []);
      const snapshot = all.includes(main.trim()) ? main.trim() : all[0];
      const repository = name.replace(/^(model|dataset)s--/, '').replaceAll('--', '/');
      return snapshot === undefined
        ? `is the Hub's cache of ${repository}, without a snapshot; fetch the model: hf download ${repository}`
        : `is the Hub's cache of ${repository}; name the snapshot in it: ${join(folder, 'snapshots', snapshot)}`;
    },
  ],
  [
    'hub-cache',
    ({ folder, folders }) => {
      const models = folders.filter((name) => name.startsWith('models--'));
      return models.length === 0
        ? null
        : `is a cache of the Hub with ${models.length} model(s); name a snapshot in it: ${join(folder, models[0] ?? '', 'snapshots', '…')}`;
    },
  ],
  ...foreignFormats,
  [
    'folder-of-checkpoints',
    ({ folder, folders }) => {
      const found = newest(folders, /^(?:checkpoint|step|epoch|global_step)[-_](\d+)$/);
      return found === null ? null : `is a folder of checkpoints; name one of them: ${join(folder, found)}`;
    },
  ],
  [
    'no-checkpoint',
    ({ folder, folders }) => {
      const inner = folders.find(
        (name) =>
          existsSync(join(folder, name, 'config.json')) &&
          ['model.safetensors', 'model.safetensors.index.json'].some((file) =>
            existsSync(join(folder, name, file)),
          ),
      );
      return inner === undefined
        ? null
        : `is no model itself, but ${inner} in it is; name ${join(folder, inner)}`;
    },
  ],
  [
    'trainer-state',
    filesLike(
      besideWeights,
      (found) =>
        `holds a trainer's state (${found}) and no weights; fetch model.safetensors, or name the folder that it was saved in`,
    ),
  ],
  [
    'data-folder',
    ({ files, folders }) => {
      const found = files.filter((name) =>
        /\.(parquet|arrow|jsonl(\.gz|\.zst)?|ndjson|csv|tsv)$|^(dataset_infos?|dataset_dict|state)\.json$/.test(
          name,
        ),
      );
      const splits = folders.filter((name) => /^(data|train|test|validation|dev)$/.test(name));
      if (found.length === 0 && splits.length === 0) return null;
      return `holds a data set (${named([...found, ...splits])}) and no model; data is given with --shards, a model is a folder: ${expected}`;
    },
  ],
  [
    'no-checkpoint',
    ({ files }) => {
      const found = files.filter((name) => name.endsWith('.safetensors'));
      if (found.length === 0 || files.includes('config.json')) return null;
      return `has no config.json beside ${named(found)}, and weights alone do not say which model they are of; fetch the repository's config.json`;
    },
  ],
  [
    'no-checkpoint',
    ({ files, config }) => {
      const found = files.filter((name) => name.endsWith('.safetensors'));
      if (found.length === 0 || config === null) return null;
      const shards = found.some((name) => /-\d+-of-\d+\./.test(name));
      return shards
        ? `has shards (${named(found)}) and no model.safetensors.index.json that says what belongs together; fetch the index`
        : `has config.json and ${named(found)}, but no model.safetensors, the name that a checkpoint's weights have; rename the file if it is the model`;
    },
  ],
  [
    'no-checkpoint',
    filesLike(
      /\.(incomplete|part|aria2|crdownload|tmp|lock)$/,
      (found) => `is a download that has not ended (${found}); let it end, or fetch the model again`,
    ),
  ],
  [
    'no-checkpoint',
    ({ config }) =>
      config !== null
        ? 'has config.json but no model.safetensors or model.safetensors.index.json; fetch the weights too'
        : null,
  ],
  [
    'no-checkpoint',
    filesLike(
      /^(tokenizer\.json|tokenizer\.model|tokenizer_config\.json|vocab\.json)$/,
      (found) => `holds a tokenizer (${found}) and no model; ${expected}: fetch the rest`,
    ),
  ],
];
