import type { DocumentFile, DocumentRecord } from '../dataset/documents.js';
import type { DomainAxis } from '../dataset/domains.js';
import type { EligibleTokens, Span } from './eligible.js';
import { createGroupSums, type GroupSums, type Measured } from './group-sums.js';
import { createDoublingGroups, createNamedGroups } from './named-groups.js';
import type { TokenPlace } from './place.js';
import type { KeptBy } from './report.js';

/** Documents with fewer eligible tokens are not ranked: the mean of a few tokens says little. */
export const MINIMUM_DOCUMENT_TOKENS = 50;
/** Documents in each of the two lists. */
const LISTED = 20;
/** Longest value of a column that is remembered of a ranked document, in UTF-16 units. */
const MAX_VALUE = 500;

/** A document of the lists of highest and lowest mean excess. */
export interface RankedDocument {
  readonly part: number;
  readonly row: number;
  readonly columns: Readonly<Record<string, string | null>>;
  /** Its sums, in `sums` of the list. */
  readonly figures: ReturnType<GroupSums['figures']>;
  /** Its first eligible token. */
  readonly place: TokenPlace;
}

/** Sums by document, one part at a time, and by what the documents files say of them. */
export interface ByDocument {
  /** Begins a part. @param documents its documents file; null where there is none */
  begin(part: number, documents: DocumentFile | null): Promise<void>;
  /** Adds the tokens of a span; the number of eligible tokens of its document before it. */
  add(tokens: EligibleTokens, span: Span, batch: number): number;
  /** What the part's documents file says of a document; undefined where it says nothing. */
  known(document: number): KnownDocument | undefined;
  /** Ends the part: its documents go to their groups and, if they are extreme, to the lists. */
  end(measured: Measured): void;
  groups(measured: Measured): KeptBy[];
  readonly highest: () => readonly RankedDocument[];
  readonly lowest: () => readonly RankedDocument[];
}

export interface KnownDocument {
  readonly tokens: number;
  readonly columns: DocumentRecord['columns'];
}

export function createByDocument(axes: readonly DomainAxis[]): ByDocument {
  const domains = axes.map((axis) => ({ axis, groups: createNamedGroups() }));
  const lengths = createDoublingGroups();
  const highest = createTop((a, b) => b - a);
  const lowest = createTop((a, b) => a - b);
  let withDocuments = false;
  let part = 0;
  let known: Map<number, KnownDocument> | null = null;
  // Of the part in work: documents by the order in which they come up.
  const indices = new Map<number, number>();
  const places: TokenPlace[] = [];
  let sums = createGroupSums(1024);

  return {
    highest: highest.list,
    lowest: lowest.list,
    async begin(index, documents) {
      part = index;
      indices.clear();
      places.length = 0;
      sums = createGroupSums(1024);
      known = null;
      if (documents === null) return;
      withDocuments = true;
      known = new Map();
      for await (const batch of documents.batches()) {
        for (const { row, tokens, columns } of batch) known.set(row, { tokens, columns });
      }
    },
    add(tokens, { document, from, to }, batch) {
      let index = indices.get(document);
      if (index === undefined) {
        index = indices.size;
        indices.set(document, index);
        places.push({
          part,
          batch,
          row: tokens.row[from] as number,
          position: tokens.position[from] as number,
        });
        sums.grow(index + 1);
      }
      const before = sums.eligible(index);
      sums.addSpan(tokens, index, from, to);
      return before;
    },
    known: (document) => known?.get(document),
    end(measured) {
      for (const [row, index] of indices) {
        const columns = known?.get(row)?.columns ?? {};
        if (withDocuments) {
          lengths.sums.addGroup(lengths.groupOf(known?.get(row)?.tokens ?? 0), sums, index);
          for (const { axis, groups } of domains) groups.add(axis.nameOf(columns), sums, index);
        }
        const eligible = sums.eligible(index);
        const ranked = measured.reference && measured.current && row >= 0;
        if (!ranked || eligible < MINIMUM_DOCUMENT_TOKENS) continue;
        const score = sums.excess(index) / eligible;
        const describe = (): RankedDocument => ({
          part,
          row,
          columns: shortened(columns),
          figures: sums.figures(index, measured),
          place: places[index] ?? { part, batch: 0, row: 0, position: 0 },
        });
        highest.offer(score, describe);
        lowest.offer(score, describe);
      }
      known = null;
    },
    groups: (measured) =>
      withDocuments
        ? [
            lengths.report('document_tokens', 'tokens of the document', measured),
            ...domains.map(({ axis, groups }) => groups.report(axis.by, axis.label, measured)),
          ]
        : [],
  };
}

function shortened(columns: DocumentRecord['columns']): Record<string, string | null> {
  return Object.fromEntries(
    Object.entries(columns).map(([name, value]) => [
      name,
      typeof value === 'string' ? (value.length > MAX_VALUE ? `${value.slice(0, MAX_VALUE)}…` : value) : null,
    ]),
  );
}

/** The first `LISTED` documents by score; of equal ones those that came first. */
function createTop(order: (a: number, b: number) => number) {
  const entries: { readonly score: number; readonly document: RankedDocument }[] = [];
  return {
    list: () => entries.map(({ document }) => document),
    offer(score: number, describe: () => RankedDocument) {
      const last = entries.at(-1);
      if (entries.length === LISTED && last !== undefined && order(score, last.score) >= 0) return;
      const at = entries.findIndex((entry) => order(score, entry.score) < 0);
      entries.splice(at === -1 ? entries.length : at, 0, { score, document: describe() });
      if (entries.length > LISTED) entries.pop();
    },
  };
}
