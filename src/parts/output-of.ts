import type { ManifestOutput } from '../dataset/manifest.js';
import { nameOf } from '../storage/path.js';

/** How a manifest tells of a file beside it. */
export const outputOf = (
  kind: ManifestOutput['kind'],
  path: string,
  { bytes, sha256, rows }: { readonly bytes: number; readonly sha256: string; readonly rows: number },
): ManifestOutput => ({ kind, name: nameOf(path), bytes, sha256, rows });
