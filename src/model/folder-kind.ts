/**
 * What a folder is that was given as a model: a checkpoint or an ONNX export, or else one sentence that says what was found
 * in it and what would take it.
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fatalError, type TokensieveError } from '../errors.js';
import { danglingTarget, type FolderListing, findPath, listFolder } from './folder-listing.js';
import { expected, named } from './folder-rule.js';
import { folderRules } from './folder-rules.js';
import { gguf, pickle } from './foreign-formats.js';
import { refuseLfsPointer } from './lfs-pointer.js';
import { isOnnxExport } from './onnx-export-file.js';
import { refuseOtherConfig } from './other-models.js';
import { leadingFile } from './weight-files.js';

export type ModelForm = 'checkpoint' | 'onnx-export';

/**
 * Tells a checkpoint from an ONNX export, by names alone.
 * @throws fatal `no-such-folder`, `not-a-folder`, `git-lfs-pointer`, `dangling-link`; and for everything else that a folder may
 *   be, with a code of its own
 */
export async function modelForm(folder: string): Promise<ModelForm> {
  const { kind } = await findPath(folder);
  if (kind === 'nothing') throw noSuchFolder(folder);
  if (kind === 'file') throw await fileGiven(folder);
  const listing = await listFolder(folder);
  await refuseStandIns(listing);
  const { config } = listing;
  const hasConfig = listing.files.includes('config.json');
  if (hasConfig && leadingFile(folder, config ?? {}) !== null) return 'checkpoint';
  if (await isOnnxExport(folder)) {
    if (config?.['is_encoder_decoder'] === true) refuseOtherConfig(config, join(folder, 'config.json'));
    return 'onnx-export';
  }
  // What is wrong with a config.json that cannot be read, its own reader tells.
  if (hasConfig && config === null) return 'checkpoint';
  throw await notAModel(listing);
}

/** Files that stand for the real ones: pointers of Git-LFS, and links into a cache that was not copied with them. */
async function refuseStandIns({ folder, files, folders }: FolderListing): Promise<void> {
  const exports = folders.includes('onnx')
    ? await readdir(join(folder, 'onnx')).catch((): string[] => [])
    : [];
  const needed = [
    ...files.filter((name) =>
      /^(config|genai_config|tokenizer)\.json$|^model\.safetensors(\.index\.json)?$|\.onnx([._]data)?$/.test(
        name,
      ),
    ),
    ...exports.filter((name) => /\.onnx([._]data)?$/.test(name)).map((name) => join('onnx', name)),
  ];
  for (const name of needed) {
    const path = join(folder, name);
    await refuseLfsPointer(path);
    const target = await danglingTarget(path);
    if (target === null) continue;
    throw fatalError(
      'dangling-link',
      `${path}: is a link to ${target}, which is not there; copy the folder with the files that its links lead to (cp -rL), or fetch it again`,
    );
  }
}

function noSuchFolder(folder: string): TokensieveError {
  const hub = /^[\w.-]+\/[\w.-]+$/.test(folder) && !folder.startsWith('.');
  const fetch = hub
    ? `; if it is a model of the Hub, fetch it first: hf download ${folder} --local-dir ${folder.split('/')[1]}`
    : '';
  return fatalError('no-such-folder', `${folder}: no such folder; check the path${fetch}`);
}

/** A file where the folder is wanted. */
async function fileGiven(path: string): Promise<TokensieveError> {
  await refuseLfsPointer(path);
  const file = await open(path, 'r').catch(() => null);
  const head = Buffer.alloc(4);
  await file?.read(head, 0, 4, 0).finally(() => file.close());
  if (head.toString('latin1') === 'GGUF') return fatalError('gguf', `${path}: ${gguf}`);
  if (/\.(bin|pth?|ckpt|pkl)$/.test(path) || head.toString('latin1', 0, 2) === 'PK')
    return fatalError('pickle-checkpoint', `${path}: ${pickle(path)}`);
  if (/\.(safetensors|onnx|json)$/.test(path))
    return fatalError('not-a-folder', `${path}: is a file of a model; name the folder that it lies in`);
  return fatalError('not-a-folder', `${path}: is a file; a model is a folder: ${expected}`);
}

/** The error that says what a folder is, where names tell; null for a folder of nothing known. */
export async function knownFolder(listing: FolderListing): Promise<TokensieveError | null> {
  for (const [code, says] of folderRules) {
    const sentence = await says(listing);
    if (sentence !== null) return fatalError(code, `${listing.folder}: ${sentence}`);
  }
  return null;
}

async function notAModel(listing: FolderListing): Promise<TokensieveError> {
  const { folder, files, folders } = listing;
  const known = await knownFolder(listing);
  if (known !== null) return known;
  const found = named([...files, ...folders]);
  return fatalError(
    'no-checkpoint',
    `${folder}: has no config.json (it holds ${found}); ${expected}: check the path`,
  );
}
