import { createHash } from 'node:crypto';
import type { JsonObject } from '../json/canonical-json.js';
import { commitBytes } from '../storage/commit-bytes.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { ExportContext, ExportFormat } from './format.js';
import {
  EXPORT_INDEX,
  type ExportIndex,
  type ExportManifest,
  exportIndexBytes,
  isBelow,
  readExportIndex,
} from './manifest.js';
import { sumCounts } from './verify.js';

/**
 * Takes away what `describeExport` wrote for the shards that were there, before one of them is made otherwise: a trainer that
 * finds a description believes that it is of all files beside it. Whoever makes the last shard describes them anew.
 */
export async function withdrawDescription(storage: Storage, out: string): Promise<void> {
  const path = joinPath(out, EXPORT_INDEX);
  const isThere = await storage.stat(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  const described = await readExportIndex(storage, path).then(
    (index) => index.described.map(({ name }) => name).filter(isBelow),
    () => [],
  );
  for (const name of described) await storage.remove(joinPath(out, name));
  await storage.remove(path);
}

/** The files beside the shards and the index, once every shard is there. */
export async function describeExport(
  {
    context,
    format,
    recipe,
    fingerprint,
  }: {
    readonly context: ExportContext;
    readonly format: ExportFormat;
    readonly recipe: JsonObject;
    readonly fingerprint: string;
  },
  made: readonly ExportManifest[],
): Promise<void> {
  const { storage, settings, shards } = context;
  const counts = sumCounts(made);
  const described = format.describe({
    ...context,
    fingerprint,
    counts,
    outputs: made.flatMap(({ outputs, counts: { rows } }) =>
      outputs.map(({ name, bytes }) => ({ name, bytes, rows })),
    ),
  });
  const files = Object.entries(described).map(([name, text]) => ({
    name,
    content: Buffer.from(text, 'utf8'),
  }));
  const index: ExportIndex = {
    version: 1,
    kind: 'export-index',
    format: format.name,
    recipe,
    shards,
    counts,
    described: files.map(({ name, content }) => ({
      name,
      bytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
    })),
  };
  for (const { name, content } of files) await commitBytes(storage, joinPath(settings.out, name), content);
  await commitBytes(storage, joinPath(settings.out, EXPORT_INDEX), exportIndexBytes(index));
}
