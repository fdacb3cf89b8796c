import { stat } from 'node:fs/promises';
import { inputError, TokensieveError } from '../errors.js';
import { EXPORT_INDEX } from '../export/manifest.js';
import { isExport } from '../export/verify.js';
import { knownFolder } from '../model/folder-kind.js';
import { listFolder } from '../model/folder-listing.js';
import { folderOf, isUrl, joinPath, nameOf, schemeOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { inspectArrow } from './arrow.js';
import { inspectCorpus } from './corpus-folder.js';
import { detectFile, type FileKind } from './detect.js';
import { inspectExport, inspectExportManifest } from './export.js';
import type { Inspection } from './inspection.js';
import { inspectJsonLines } from './json-lines.js';
import { inspectManifest } from './manifest.js';
import { inspectModel } from './model-folder.js';
import { inspectOnnx } from './onnx.js';
import { inspectParquet } from './parquet.js';
import { inspectPipeline } from './pipeline-file.js';
import { inspectRun, manifestsBelow } from './run-folder.js';
import { inspectSafetensors } from './safetensors.js';
import { inspectTokenizer } from './tokenizer.js';
import { inspectTraining, looksLikeTraining } from './training.js';

export interface InspectOptions {
  readonly storage: Storage;
  /** Remembers the hashes of model files; null: not at all. */
  readonly cacheFolder: string | null;
}

/**
 * What a file or folder is, told by its content with the rooms' own readers.
 * @throws TokensieveError `unknown-file`, and whatever the reader of its kind throws
 */
export async function inspect(path: string, options: InspectOptions): Promise<Inspection> {
  const { storage } = options;
  if (await (isUrl(path) ? isFolderOf(storage, path) : isLocalFolder(path)))
    return inspectFolder(path, options);
  const kind = await detectFile(storage, path);
  if (isUrl(path) && !REMOTE.includes(kind)) {
    throw inputError(
      'not-local',
      `${path}: ${kind} files are read from local disk only; download it, then inspect the copy`,
    );
  }
  return inspectors[kind](storage, path);
}

/** Kinds of files that are read through the storage, wherever they are. */
const REMOTE: readonly FileKind[] = [
  'parquet',
  'arrow',
  'manifest',
  'export-manifest',
  'export-index',
  'jsonl',
  'jsonl.gz',
  'jsonl.zst',
];

async function isLocalFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw inputError('not-found', `${path}: no such file or folder; check the path`);
  return found.isDirectory();
}

/** Object stores have no folders, only objects whose names begin alike. */
async function isFolderOf(storage: Storage, path: string): Promise<boolean> {
  try {
    await storage.stat(path);
    return false;
  } catch (error) {
    const absent = error instanceof TokensieveError && ['not-found', 'not-a-file'].includes(error.code);
    if (!absent || /^https?$/.test(schemeOf(path) ?? '')) throw error;
    if ((await storage.list(path)).length === 0) throw error;
    return true;
  }
}

const inspectors: Readonly<Record<FileKind, (storage: Storage, path: string) => Promise<Inspection>>> = {
  parquet: inspectParquet,
  arrow: inspectArrow,
  manifest: inspectManifest,
  'export-manifest': inspectExportManifest,
  'export-index': (storage, path) => inspectExport(storage, folderOf(path)),
  jsonl: (storage, path) => inspectJsonLines(storage, path, 'jsonl'),
  'jsonl.gz': (storage, path) => inspectJsonLines(storage, path, 'jsonl.gz'),
  'jsonl.zst': (storage, path) => inspectJsonLines(storage, path, 'jsonl.zst'),
  safetensors: (_, path) => inspectSafetensors(path),
  onnx: (_, path) => inspectOnnx(path),
  tokenizer: (_, path) => inspectTokenizer(path),
  pipeline: (_, path) => inspectPipeline(path),
};

/** An export, a model, a tokenizer, a training run, a scoring run, a corpus: the first that the files make it. */
async function inspectFolder(path: string, { storage, cacheFolder }: InspectOptions): Promise<Inspection> {
  const names = (await storage.list(path, { shallow: true })).map((file) => nameOf(file));
  const manifests = await storage.list(joinPath(path, 'manifests'), { shallow: true });
  if (names.includes(EXPORT_INDEX) || isExport(path, manifests)) return inspectExport(storage, path);
  const hasOnnx = [...names, ...(await storage.list(joinPath(path, 'onnx'), { shallow: true }))].some(
    (name) => name.endsWith('.onnx'),
  );
  if (isUrl(path)) return inspectDataset(storage, path);
  if (names.includes('config.json') || names.includes('genai_config.json') || hasOnnx)
    return inspectModel(path, cacheFolder);
  if (names.includes('tokenizer.json')) return inspectTokenizer(path);
  const training = looksLikeTraining(names) ? await inspectTraining(path) : null;
  if (training !== null) return training;
  return inspectDataset(storage, path);
}

async function inspectDataset(storage: Storage, path: string): Promise<Inspection> {
  const manifests = await manifestsBelow(storage, path);
  if (manifests.length > 0) return inspectRun(storage, path, manifests);
  const corpus = await inspectCorpus(storage, path, await storage.list(path));
  if (corpus !== null) return corpus;
  // Of a local folder the model room knows more kinds.
  const known = isUrl(path) ? null : await knownFolder(await listFolder(path));
  if (known !== null) throw known;
  throw inputError(
    'unknown-file',
    `${path}: holds no model, tokenizer, manifests or shards; name a file in it, or the folder of one of these`,
  );
}
