import type { Manifest } from '../dataset/manifest.js';
import type { PartPlace } from '../dataset/part-files.js';
import { usageError } from '../errors.js';
import { hashJson } from '../json/canonical-json.js';
import type { Lane, OpenOptions, PartsJob, PartsOptions } from '../parts/parts-job.js';
import { runParts } from '../parts/run-parts.js';
import { tellOf } from '../parts/tell-of.js';
import { removeNotes } from '../parts/worker-notes.js';
import { absolutePath } from '../storage/path.js';
import { cautionsOf } from './cautions.js';
import { describeExport, withdrawDescription } from './describe-export.js';
import { documentsOf } from './documents.js';
import { exportRecipe, identityOf } from './export-recipe.js';
import type { ExportCounts, ExportFormat } from './format.js';
import { formatNamed } from './formats.js';
import {
  type ExportManifest,
  expectedOf,
  exportManifests,
  type ShardIdentity,
  staleShard,
} from './manifest.js';
import { type PlannedShard, planShards } from './plan.js';
import type { ExportSettings } from './settings.js';
import { type ExportSource, openExportSource } from './source.js';
import { sumCounts } from './verify.js';
import { fractionError, type WeightRules } from './weights.js';
import { textBytes, writeShard } from './write-shard.js';

export type ExportOptions = PartsOptions;

/** With a share, all of it is the share's. */
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
export async function exportRun(settings: ExportSettings, options: ExportOptions): Promise<ExportReport> {
  const started = performance.now();
  const { job } = await openExporting(settings, options);
  const { kept, resumed } = await runParts(job, options);
  return {
    ...sumCounts(kept),
    format: settings.to,
    folder: settings.out,
    shards: kept.length,
    resumed,
    bytes: kept.reduce((sum, { outputs }) => sum + outputs.reduce((all, { bytes }) => all + bytes, 0), 0),
    seconds: (performance.now() - started) / 1000,
  };
}

/** A format as one lane has it: what its shards share is open. */
interface ExportLane extends Lane {
  readonly format: ExportFormat;
}

export type ExportJob = PartsJob<PlannedShard, ExportLane, ExportManifest, ExportManifest>;

/**
 * An export, opened: its source and shards known, nothing read of its tokens.
 * @throws TokensieveError (usage) as `exportRun` does
 */
export async function openExporting(
  given: ExportSettings,
  { storage, sink, signal, workers = 1 }: OpenOptions,
): Promise<{ readonly job: ExportJob; close(): Promise<void> }> {
  const { out } = given;
  const format = formatNamed(given.to);
  const source = await openExportSource(storage, given.run);
  if ([source.folder, given.run].some((path) => absolutePath(path) === absolutePath(out))) {
    throw usageError('out-is-input', `${out}: holds the files that are exported; choose another --out`);
  }
  const settings = { ...given, documents: await documentsOf(storage, given, source) };
  await tellOf(storage, source, sink);
  for (const message of cautionsOf(settings, source)) sink({ event: 'warning', message });
  const rules = { threshold: settings.threshold ?? null, bitsOnly: format.bitsOnly(settings) };
  refuseFractions(source, rules);
  const shards = planShards(
    source.parts,
    settings.shard_bytes,
    format.bytesPerToken(settings, source),
    format.cut,
  );
  const recipe = exportRecipe(settings, format, source);
  const identities = new Map(
    shards.map((shard) => [shard, identityOf(shard, shards.length, recipe)] as const),
  );
  const identity = (shard: PlannedShard): ShardIdentity =>
    identities.get(shard) ?? identityOf(shard, shards.length, recipe);
  const fingerprint = hashJson(shards.map((shard) => identity(shard).fingerprint));
  const context = { storage, settings, source, signal, shards: shards.length };
  const sound = new Set<Manifest>();
  const placeOf = ({ index, slices }: PlannedShard): PartPlace => ({
    shard: slices[0]?.part.manifest.shard ?? '',
    part: index,
  });
  let withdrawn: Promise<void> | null = null;
  const job: ExportJob = {
    kind: 'export',
    out,
    handedOn: true,
    identity: fingerprint,
    manifests: exportManifests(out),
    workers,
    plan: async () => ({
      tasks: shards,
      shards: new Set(source.parts.map(({ manifest }) => manifest.shard)).size,
      broken: [],
    }),
    taskAt: async ({ part }) => (part === null ? null : (shards[part] ?? null)),
    placeOf,
    textBytes,
    expected: (shard) => expectedOf(identity(shard)),
    staleError: ([first]) => staleShard(first?.path ?? out, first?.why ?? []),
    async open() {
      const prepared = await format.prepare?.(context);
      return { format: prepared ?? format, close: async () => prepared?.close() };
    },
    async *parts(shard, lane, making) {
      withdrawn ??= withdrawDescription(storage, out);
      await withdrawn;
      const writing = { format: lane.format, context, rules, sound };
      yield {
        place: placeOf(shard),
        expected: expectedOf(identity(shard)),
        make: (staging) => writeShard(shard, identity(shard), writing, { ...making, staging }),
      };
    },
    figures: ({ counts }, shard) => ({ tokens: counts.tokens, documents: 0, textBytes: textBytes(shard) }),
    keep: (manifest) => manifest,
    quarantined: () => false,
    async finish(_, all) {
      const made = await all();
      if (made === null) return;
      await describeExport({ context, format, recipe, fingerprint }, made);
      await removeNotes(storage, out);
    },
  };
  return { job, close: async () => undefined };
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
