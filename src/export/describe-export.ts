import { createHash } from 'node:crypto';
import type { JsonObject } from '../json/canonical-json.js';
import { commitBytes } from '../storage/commit-bytes.js';
import { joinPath } from '../storage/path.js';
import type { ExportContext, ExportFormat } from './format.js';
import { EXPORT_INDEX, type ExportIndex, type ExportManifest, exportIndexBytes } from './manifest.js';
import { sumCounts } from './verify.js';

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
