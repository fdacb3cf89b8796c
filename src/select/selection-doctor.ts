import pLimit from 'p-limit';
import { readDocuments } from '../dataset/documents.js';
import { type DomainAxis, domainAxes } from '../dataset/domains.js';
import type { FinishedPart } from '../dataset/finished-parts.js';
import { mergeHistograms } from '../dataset/histogram.js';
import { digestOf, type Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { firstLine, TokensieveError } from '../errors.js';
import type { EventSink } from '../parts/events.js';
import type { Storage } from '../storage/storage.js';
import type { Conventions } from './conventions.js';
import { type BatchTally, createBatchTally, type PartSums } from './diagnosis/batch-tally.js';
import { diagnose } from './diagnosis/diagnose.js';
import type { ExcessFigures } from './diagnosis/excess-figures.js';
import type { Finding } from './diagnosis/finding.js';
import type { DocumentFacts } from './diagnosis/group-figures.js';
import { methodTraits } from './diagnosis/method-traits.js';
import { findingLine } from './diagnosis/words.js';

/** Watches a selection while it weighs, and says at its end what speaks against it. */
export interface SelectionDoctor {
  /** What a part came to (`createPartTally`). */
  add(part: FinishedPart, sums: PartSums): Promise<void>;
  /**
   * What was found, told to the sink too. What concerns the pair of models is of all parts, by their manifests; what was
   * kept is of those weighed by this call.
   * @param all manifests of the weighted parts
   */
  conclude(all: readonly Manifest[]): Finding[];
}

interface DoctorOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly conventions: Conventions;
  /** Column of `select.domains`, grouped by where it was kept. */
  readonly domains: string;
  /** The losses of one model are means of rows or documents: the excess of a token says nothing. */
  readonly means: boolean;
}

/** Reads each part's documents file, if it has one, for where its documents come from: no pass over the tokens. */
export function selectionDoctor({
  storage,
  sink,
  conventions,
  domains,
  means,
}: DoctorOptions): SelectionDoctor {
  let axes: readonly DomainAxis[] | null = null;
  let tally: BatchTally | null = null;
  let weighed = 0;
  let unread = false;
  // Parts may be done at once.
  const oneAtATime = pLimit(1);

  /** Names of a part's documents; empty where nothing says them. A damaged file costs the diagnosis its groups alone. */
  const readFacts = async ({ folder, manifest }: FinishedPart): Promise<Map<number, DocumentFacts>> => {
    const facts = new Map<number, DocumentFacts>();
    const digest = digestOf(manifest, 'documents');
    if (digest === undefined) return facts;
    try {
      const file = await readDocuments(storage, partFiles(folder, manifest.shard, manifest.part).documents);
      axes ??= axesOf(file.keep, domains);
      for await (const batch of file.batches(digest)) {
        for (const { row, tokens, columns } of batch) {
          facts.set(row, { tokens, names: axes.map((axis) => axis.nameOf(columns)) });
        }
      }
      return facts;
    } catch (error) {
      if (!(error instanceof TokensieveError)) throw error;
      if (!unread) {
        sink({ event: 'warning', message: `${firstLine(error)}; what is kept is not looked at by domain` });
      }
      unread = true;
      return new Map();
    }
  };

  return {
    add: (part, sums) =>
      oneAtATime(async () => {
        const facts = await readFacts(part);
        tally ??= createBatchTally(axes?.map(({ by }) => by) ?? []);
        tally.begin(part.manifest.shard, (document) => facts.get(document) ?? null);
        tally.addPart(sums);
        tally.end();
        weighed++;
      }),
    conclude(all) {
      const seen = tally?.evidence() ?? { excess: null, groups: [] };
      const findings = diagnose({
        excess: means ? null : ofAll(all, seen.excess, weighed === all.length),
        groups: seen.groups,
        method: methodTraits(conventions),
      });
      const part =
        weighed < all.length ? ` (what was kept: of the ${weighed} parts of ${all.length} weighed now)` : '';
      for (const finding of findings) {
        sink({ event: 'warning', message: `${findingLine(finding)}${part}`, finding });
      }
      return findings;
    },
  };
}

function axesOf(keep: readonly string[], column: string): readonly DomainAxis[] {
  const found = domainAxes(keep, null);
  if (!keep.includes(column) || found.some(({ by }) => by === column)) return found;
  return [...found, ...domainAxes([column], [column])];
}

/** Where parts were done before, the pair's figures are those of all manifests: bins have an edge at 0. */
function ofAll(
  all: readonly Manifest[],
  seen: ExcessFigures | null,
  complete: boolean,
): ExcessFigures | null {
  const histograms = all.flatMap(({ histograms: { excess } }) => excess ?? []);
  if (complete || histograms.length === 0) return seen;
  const { lower, width, bins, below, above, count, sum } = mergeHistograms(histograms);
  if (count === 0) return seen;
  const negative = bins.slice(0, -lower / width).reduce((total, tokens) => total + tokens, below);
  const mean = sum / count;
  // By the middles of the bins, and where they end: near enough to tell a tail by.
  const squares = bins.reduce(
    (total, tokens, bin) => total + tokens * (lower + (bin + 0.5) * width - mean) ** 2,
    below * (lower - mean) ** 2 + above * (lower + bins.length * width - mean) ** 2,
  );
  return {
    tokens: count,
    negative,
    mean,
    deviation: Math.sqrt(squares / count),
    low: seen?.low ?? null,
    high: seen?.high ?? null,
    kept: seen?.kept ?? null,
  };
}
