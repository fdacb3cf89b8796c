/** Manifests of the parts of a data set: scored, weighted or packed. */
import { knownInput } from '../dataset/finished-parts.js';
import { explainDifference, type Manifest, manifestBytes, readManifest } from '../dataset/manifest.js';
import { partFiles, placeOfManifest } from '../dataset/part-files.js';
import { readSequences } from '../dataset/reader.js';
import { TokensieveError, usageError } from '../errors.js';
import { folderOf, joinPath } from '../storage/path.js';
import type { Manifests } from './manifests.js';

export function dataSetManifests(folder: string, kind: Manifest['kind']): Manifests<Manifest> {
  return {
    folder,
    path: ({ shard, part }) => partFiles(folder, shard, part).manifest,
    placeOf: (path) => placeOfManifest(folder, path),
    read: readManifest,
    bytes: manifestBytes,
    output: (path, name) => joinPath(folderOf(path), name),
    known: (manifest) => ({ input: knownInput(manifest) }),
    leftoversError: (path, count) =>
      usageError(
        'stale-parts',
        `${folder}: ${count} finished part(s) of shards that this command does not name, or beyond a shard's end (${path}); name the same shards as before, choose another --out, or remove these parts with --replace`,
      ),
    /** What another command wrote below this folder is left alone: only a manifest that names its own place is this folder's. */
    async filesOf(storage, { shard, part }) {
      const files = partFiles(folder, shard, part);
      try {
        const manifest = await readManifest(storage, files.manifest);
        const isOwn = manifest.kind === kind && manifest.shard === shard && manifest.part === part;
        return isOwn ? [files.sequences, files.documents, files.quarantine] : null;
      } catch (error) {
        if (error instanceof TokensieveError && error.reach === 'input') return null;
        throw error;
      }
    },
    /** The data file has the recipe too: a damaged manifest is no licence to mix two. */
    async otherRecipe(storage, path, expected) {
      try {
        const { metadata } = await readSequences(storage, path.replace(/\.manifest\.json$/, '.arrow'));
        if (metadata['fingerprint'] === expected.fingerprint) return null;
        const why = explainDifference(metadata['recipe'], expected.recipe);
        return ['its manifest is damaged', ...(why.length > 0 ? why : ['its data file is of another input'])];
      } catch (error) {
        if (error instanceof TokensieveError && error.reach === 'input') return null;
        throw error;
      }
    },
  };
}
