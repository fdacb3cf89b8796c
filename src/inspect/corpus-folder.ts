import { formatOf } from '../corpus/expand.js';
import { isLeftOut } from '../corpus/left-out.js';
import type { ShardFormat } from '../corpus/shard.js';
import { pathBelow } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';

export interface CorpusInspection {
  readonly kind: 'corpus';
  readonly path: string;
  readonly shards: number;
  readonly bytes: number;
  readonly formats: readonly {
    readonly format: ShardFormat;
    readonly shards: number;
    readonly bytes: number;
  }[];
  /** The first shards, by name. */
  readonly first: readonly { readonly path: string; readonly bytes: number }[];
}

const FIRST_SHARDS = 10;

/** Sums up the shards among `files`; null when there is none. */
export async function inspectCorpus(
  storage: Storage,
  path: string,
  files: readonly string[],
): Promise<CorpusInspection | null> {
  const formats = new Map<ShardFormat, { shards: number; bytes: number }>();
  const first: { path: string; bytes: number }[] = [];
  for (const file of files) {
    const format = formatOf(file);
    if (format === null || isLeftOut(pathBelow(path, file) ?? file)) continue;
    const { size } = await storage.stat(file);
    const sum = formats.get(format) ?? { shards: 0, bytes: 0 };
    formats.set(format, { shards: sum.shards + 1, bytes: sum.bytes + size });
    if (first.length < FIRST_SHARDS) first.push({ path: file, bytes: size });
  }
  if (formats.size === 0) return null;
  const sums = [...formats].map(([format, sum]) => ({ format, ...sum }));
  return {
    kind: 'corpus',
    path,
    shards: sums.reduce((total, { shards }) => total + shards, 0),
    bytes: sums.reduce((total, { bytes }) => total + bytes, 0),
    formats: sums,
    first,
  };
}
