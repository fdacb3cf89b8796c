import { stat } from 'node:fs/promises';
import { type Manifest, readManifest } from '../../dataset/manifest.js';
import { partFiles } from '../../dataset/part-files.js';
import { TokensieveError } from '../../errors.js';
import { dataSetManifests } from '../../parts/data-set-manifests.js';
import { listParts } from '../../parts/leftovers.js';
import { localStorage } from '../../storage/local.js';
import type { JobTotals, PartsFolder } from './record.js';

/** A finished part, by its manifest. */
export interface DonePart {
  readonly kind: PartsFolder['kind'];
  readonly shard: string;
  readonly part: number;
  readonly counts: Manifest['counts'];
  /** Its quarantine report; null when no row was set aside. */
  readonly quarantine: { readonly path: string; readonly sha256: string } | null;
}

export interface PartsReader {
  /** The finished parts of a folder, by shard and part. */
  read(folder: PartsFolder): Promise<readonly DonePart[]>;
}

/** Parts remembered: a manifest never changes without its file's time changing. */
const MAX_REMEMBERED = 20_000;

/** Reads manifests, each once as long as its file stays the same. */
export function openPartsReader(): PartsReader {
  const storage = localStorage();
  const known = new Map<string, { readonly mtimeMs: number; readonly part: DonePart }>();

  const readOne = async (kind: PartsFolder['kind'], path: string): Promise<DonePart | null> => {
    try {
      const { mtimeMs } = await stat(path);
      const before = known.get(path);
      if (before?.mtimeMs === mtimeMs) return before.part;
      const { shard, part, counts, outputs } = await readManifest(storage, path);
      const report = outputs.find((output) => output.kind === 'quarantine');
      const found: DonePart = {
        kind,
        shard,
        part,
        counts,
        quarantine:
          report === undefined
            ? null
            : { path: path.replace(/[^/]+$/, () => report.name), sha256: report.sha256 },
      };
      if (known.size >= MAX_REMEMBERED) known.clear();
      known.set(path, { mtimeMs, part: found });
      return found;
    } catch (error) {
      // Removed or replaced at this moment, or damaged: not a finished part.
      if (error instanceof TokensieveError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  };

  return {
    async read({ kind, folder }) {
      const parts: DonePart[] = [];
      for (const { shard, part } of await listParts(storage, dataSetManifests(folder, kind))) {
        const found = await readOne(kind, partFiles(folder, shard, part).manifest);
        if (found !== null) parts.push(found);
      }
      return parts;
    },
  };
}

/** Sums over a job's parts; null where there are none. Tokens that were both scored and weighted count once. */
export async function totalsOfJob(
  reader: PartsReader,
  folders: readonly PartsFolder[],
): Promise<JobTotals | null> {
  const of = async (kind: PartsFolder['kind']): Promise<readonly DonePart[]> =>
    (await Promise.all(folders.filter((one) => one.kind === kind).map((one) => reader.read(one)))).flat();
  const [scored, weighted, packed] = [await of('scored'), await of('weighted'), await of('packed')];
  const parts = [scored, weighted, packed].find((some) => some.length > 0);
  if (parts === undefined) return null;
  const sum = (
    some: readonly DonePart[],
    value: (counts: Manifest['counts']) => number | undefined,
  ): number => some.reduce((total, { counts }) => total + (value(counts) ?? 0), 0);
  return {
    documents: sum(parts, (counts) => counts.documents),
    tokens: sum(parts, (counts) => counts.tokens),
    eligible: sum(parts, (counts) => counts.eligible),
    kept: sum(weighted, (counts) => counts.kept),
    quarantined_rows: sum(parts, (counts) => counts.quarantined_rows),
  };
}
