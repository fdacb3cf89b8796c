/** One part of a selection: its rows with their weights. */
import type { FinishedPart } from '../dataset/finished-parts.js';
import { MANIFEST_VERSION, type Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { openPart } from '../dataset/part-source.js';
import { createSequenceWriter } from '../dataset/writer.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { StagedPart } from '../parts/commit-part.js';
import { outputOf } from '../parts/output-of.js';
import type { MakingContext, Staging } from '../parts/parts-job.js';
import type { Selection, Weighing } from './selection.js';
import type { SelectionDoctor } from './selection-doctor.js';
import { weightedPart } from './selection-recipe.js';

export interface Weighting extends MakingContext {
  readonly weighing: Weighing;
  readonly recipe: JsonObject;
  readonly folder: string;
  readonly compression: 'none' | 'zstd' | 'lz4';
  readonly conventions: Selection['conventions'];
  readonly doctor: SelectionDoctor;
  readonly staging: Staging;
}

/** Writes a part's rows with their weights, up to its commit. */
export async function weighPart(
  scored: FinishedPart,
  { weighing, recipe, compression, folder, conventions, doctor, storage, sink, staging }: Weighting,
): Promise<StagedPart<Manifest>> {
  const { shard, part, input, counts } = scored.manifest;
  const scoredFile = await openPart(storage, scored);
  await doctor.begin(scored);
  const files = partFiles(folder, shard, part);
  const { fingerprint } = weightedPart(scored, recipe);
  const writer = staging(
    await createSequenceWriter(storage, files.sequences, {
      columns: [...scoredFile.columns, 'weight'],
      lossPrecision: scoredFile.lossPrecision,
      compression,
      metadata: { fingerprint, recipe, conventions: { ...conventions } },
    }),
  );
  for await (const { batch, weights } of weighing.batches) {
    await writer.write({ ...batch, columns: { ...batch.columns, weight: weights } });
    doctor.add(batch, weights);
    sink({ event: 'progress', tokens: batch.inputIds.length, text_bytes: 0 });
  }
  doctor.end();
  const written = await writer.finish();
  sink({ event: 'progress', tokens: 0, text_bytes: counts.text_bytes });
  const { statistics } = written;
  const manifest: Manifest = {
    version: MANIFEST_VERSION,
    kind: 'weighted',
    shard,
    part,
    input,
    fingerprint,
    recipe,
    counts: {
      ...counts,
      sequences: statistics.sequences,
      tokens: statistics.tokens,
      ...(statistics.eligible !== undefined && { eligible: statistics.eligible }),
      ...(statistics.kept !== undefined && { kept: statistics.kept }),
      ...(statistics.weight_sum !== undefined && { weight_sum: statistics.weight_sum }),
    },
    histograms: statistics.histograms,
    outputs: [outputOf('sequences', files.sequences, written)],
  };
  return { manifest, files: [writer] };
}
