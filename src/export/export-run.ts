import { createHash } from 'node:crypto';
import type { Manifest } from '../dataset/manifest.js';
import { usageError } from '../errors.js';
import { canonicalJson, hashJson, type JsonObject } from '../json/canonical-json.js';
import type { EventSink } from '../parts/events.js';
import { rulesOfParts, rulesWarning } from '../rules/run-rules.js';
import { claimedSignal, claimFolder } from '../storage/folder-claim.js';
import { absolutePath, joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { finishedShards, type ShardIdentity } from './finished-shards.js';
import type { ExportCounts, ExportFormat } from './format.js';
import { formatNamed } from './formats.js';
import {
  EXPORT_INDEX,
  type ExportIndex,
  type ExportManifest,
  exportIndexSchema,
  shardFingerprint,
} from './manifest.js';
import { type PlannedShard, planShards } from './plan.js';
import type { ExportSettings } from './settings.js';
import { type ExportSource, openExportSource } from './source.js';
import { sumCounts } from './verify.js';
import { fractionError, type WeightRules } from './weights.js';
import { commitBytes, textBytes, writeShard } from './write-shard.js';

export interface ExportOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  /** Redo shards that were made with other settings or of other sources, instead of refusing. */
  readonly replace: boolean;
}

export interface ExportReport extends ExportCounts {
  readonly format: string;
  readonly folder: string;
  readonly shards: number;
  /** Shards that were done before. */
  readonly resumed: number;
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Writes a run's tokens in another trainer's format, shard by shard: a shard whose manifest is there is not made
 * again, and the same command after any stop leaves the bytes of an uninterrupted one. One record batch and what the
 * format gathers are in memory.
 * @throws TokensieveError (usage) `stale-shards`; `fractional-weights`; `out-is-input`; `folder-busy`; and as
 *   `openExportSource` throws
 */
export async function exportRun(settings: ExportSettings, given: ExportOptions): Promise<ExportReport> {
  const started = performance.now();
  const { storage, sink } = given;
  const { out } = settings;
  const format = formatNamed(settings.to);
  const source = await openExportSource(storage, settings.run);
  if ([source.folder, settings.run].some((path) => absolutePath(path) === absolutePath(out))) {
    throw usageError('out-is-input', `${out}: holds the files that are exported; choose another --out`);
  }
  const old = rulesWarning(settings.run, await rulesOfParts(storage, source.parts));
  if (old !== null) sink({ event: 'warning', message: old });
  const rules = { threshold: settings.threshold ?? null, bitsOnly: format.bitsOnly(settings) };
  refuseFractions(source, rules);
  const shards = planShards(
    source.parts,
    settings.shard_bytes,
    format.bytesPerToken(settings, source),
    format.cut,
  );
  const recipe = exportRecipe(settings, format, source);
  const expected = shards.map((shard) => expectedShard(shard, shards.length, recipe));
  const fingerprint = hashJson(expected.map((shard) => shard.fingerprint));
  const claim = await claimFolder(out, fingerprint, storage);
  const signal = claimedSignal(given.signal, claim);
  const options = { ...given, signal };
  try {
    await storage.sweep?.(out);
    const found = await finishedShards(options, out, expected);
    const textOf = (some: readonly PlannedShard[]): number =>
      some.reduce((sum, shard) => sum + textBytes(shard), 0);
    const pending = shards.filter(({ index }) => !found.has(index));
    sink({
      event: 'planned',
      shards: new Set(source.parts.map(({ manifest }) => manifest.shard)).size,
      parts: shards.length,
      done: found.size,
      text_bytes: textOf(shards),
      done_bytes: textOf(shards) - textOf(pending),
    });
    const manifests: ExportManifest[] = [];
    const context = { storage, settings, source, signal, shards: shards.length };
    const prepared = pending.length > 0 ? await format.prepare?.(context) : undefined;
    const writing = { format: prepared ?? format, context, rules, sink, sound: new Set<Manifest>() };
    try {
      for (const shard of shards) {
        const done = found.get(shard.index);
        const identity = expected[shard.index];
        if (done !== undefined || identity === undefined) {
          if (done !== undefined) manifests.push(done);
          continue;
        }
        signal.throwIfAborted();
        manifests.push(await writeShard(shard, identity, writing));
      }
    } finally {
      await prepared?.close();
    }
    const counts = sumCounts(manifests);
    const described = format.describe({
      ...context,
      fingerprint,
      counts,
      outputs: manifests.flatMap(({ outputs, counts: { rows } }) =>
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
      shards: shards.length,
      counts,
      described: files.map(({ name, content }) => ({
        name,
        bytes: content.length,
        sha256: createHash('sha256').update(content).digest('hex'),
      })),
    };
    for (const { name, content } of files) await commitBytes(storage, joinPath(out, name), content);
    await commitBytes(
      storage,
      joinPath(out, EXPORT_INDEX),
      Buffer.from(`${canonicalJson(exportIndexSchema.parse(index))}\n`),
    );
    // Before it is told as done: what a removed folder held went with it.
    await claim.check?.();
    return {
      ...counts,
      format: format.name,
      folder: out,
      shards: shards.length,
      resumed: found.size,
      bytes: manifests.reduce(
        (sum, { outputs }) => sum + outputs.reduce((all, { bytes }) => all + bytes, 0),
        0,
      ),
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await claim.release();
  }
}

/** Before anything is written: weights that do not sum to their number are not all 0 and 1. */
function refuseFractions({ parts, folder, kind }: ExportSource, { threshold, bitsOnly }: WeightRules): void {
  if (bitsOnly === null || threshold !== null || kind === 'scored') return;
  for (const { manifest } of parts) {
    const { kept, weight_sum } = manifest.counts;
    if (kept === undefined || weight_sum === undefined || kept === weight_sum) continue;
    throw fractionError(`${folder}: ${manifest.shard} part ${manifest.part}`, null, bitsOnly);
  }
}

/** What decides an export's bytes besides its sources. */
function exportRecipe(settings: ExportSettings, format: ExportFormat, source: ExportSource): JsonObject {
  const chosen = Object.fromEntries(
    (['shard_bytes', 'threshold', ...format.settings] as const).map((name) => [name, settings[name] ?? null]),
  );
  return {
    format: format.name,
    semantics: { exporting: 1, format: format.semantics },
    settings: chosen,
    source: { kind: source.kind, recipe: source.recipe.json },
  };
}

function expectedShard({ index, slices }: PlannedShard, shards: number, recipe: JsonObject): ShardIdentity {
  const sources = slices.map(({ part: { manifest }, rowStart, rowEnd }) => ({
    shard: manifest.shard,
    part: manifest.part,
    row_start: rowStart,
    row_end: rowEnd,
    sha256: sequencesDigest(manifest),
  }));
  const identity = { shard: index, shards, recipe, sources };
  return { ...identity, fingerprint: shardFingerprint(identity) };
}

function sequencesDigest({ outputs, shard, part }: Manifest): string {
  const found = outputs.find(({ kind }) => kind === 'sequences');
  if (found !== undefined) return found.sha256;
  throw usageError(
    'not-exportable',
    `${shard} part ${part}: its manifest names no sequence file; make it again`,
  );
}
