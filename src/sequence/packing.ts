import type { Segment, Sequence } from './sequence.js';

/** `across`: a row's documents see each other. `within`: they do not, positions restart. */
export type AttentionScope = 'across' | 'within';

/** What packing needs to know, once BOS and EOS are settled (null: not inserted). */
export interface PackingRules {
  /** Ids a row, context included; at least 2. */
  readonly length: number;
  readonly packing: 'packed' | 'document';
  readonly attention: AttentionScope;
  /** Ids that a long document's next window repeats as context; 1 ≤ overlap < length. */
  readonly overlap: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly eosEligible: boolean;
}

/** A document's tokens without BOS and EOS. `offsets` is asked for only where a row cuts the document. */
export interface TokenizedDocument {
  /** Row in the shard. */
  readonly row: number;
  readonly ids: Int32Array;
  /** UTF-8 bytes of the document's text. */
  readonly textBytes: number;
  offsets(): { readonly byteStart: Int32Array; readonly byteEnd: Int32Array };
}

/** Documents in, rows out. One packer serves one part, so that parts do not depend on each other. */
export interface Packer {
  /** The rows that this document completes. */
  push(document: TokenizedDocument): Sequence[];
  /** The rows still open. The packer is used up. */
  finish(): Sequence[];
}

/**
 * Packs documents into rows by the conventions of docs/conventions.md.
 *
 * `packed`: the documents' ids, each as BOS … EOS, form one stream, cut into rows of `length` ids with a
 * stride of `length − 1`: a row's first id is context and was the last target of the row before, so every
 * id but the part's first is a target at most once and none is left out. The tail is a short row.
 * `document`: each document is a row; a longer one continues in rows that repeat `overlap` ids of context.
 */
export function createPacker(rules: PackingRules): Packer {
  return rules.packing === 'packed' ? packAcrossDocuments(rules) : packByDocument(rules);
}

/** The ids of one document with BOS and EOS around them, seen as one run of positions. */
interface Wrapped {
  readonly document: TokenizedDocument;
  readonly lead: 0 | 1;
  readonly count: number;
}

function wrap(document: TokenizedDocument, rules: PackingRules): Wrapped {
  return { document, lead: rules.bosId === null ? 0 : 1, count: wrappedLength(document, rules) };
}

/** Ids that a document takes, BOS and EOS included. */
export function wrappedLength(document: Pick<TokenizedDocument, 'ids'>, rules: PackingRules): number {
  return document.ids.length + (rules.bosId === null ? 0 : 1) + (rules.eosId === null ? 0 : 1);
}

/** Positions [from, from + count) of a wrapped document. */
interface Piece {
  readonly wrapped: Wrapped;
  readonly from: number;
  readonly count: number;
}

/** Writes a piece into the row at `at`. */
function copyIds({ wrapped, from, count }: Piece, rules: PackingRules, row: Int32Array, at: number): void {
  const { document, lead } = wrapped;
  const end = from + count;
  const textFrom = Math.max(from - lead, 0);
  const textEnd = Math.min(end - lead, document.ids.length);
  if (from < lead && count > 0) row[at] = rules.bosId ?? 0;
  if (textEnd > textFrom) row.set(document.ids.subarray(textFrom, textEnd), at + textFrom + lead - from);
  if (end > lead + document.ids.length) row[at + count - 1] = rules.eosId ?? 0;
}

function segmentOf({ wrapped, from, count }: Piece, tokenStart: number): Segment {
  const { document, lead } = wrapped;
  const first = Math.min(Math.max(from - lead, 0), document.ids.length);
  const last = Math.min(Math.max(from + count - lead, 0), document.ids.length);
  return {
    document: document.row,
    tokenStart,
    tokenCount: count,
    byteStart: byteBefore(document, first),
    byteEnd: last === first ? byteBefore(document, first) : byteAfter(document, last),
  };
}

/** Byte at which token `index` starts; a token without a range takes the start of the next that has one. */
function byteBefore(document: TokenizedDocument, index: number): number {
  if (index === 0) return 0;
  if (index >= document.ids.length) return document.textBytes;
  const { byteStart } = document.offsets();
  for (let i = index; i < byteStart.length; i++) {
    const byte = byteStart[i] ?? -1;
    if (byte >= 0) return byte;
  }
  return document.textBytes;
}

/** Byte at which token `end − 1` ends; a token without a range takes the end of the one before. */
function byteAfter(document: TokenizedDocument, end: number): number {
  if (end >= document.ids.length) return document.textBytes;
  const { byteEnd } = document.offsets();
  for (let i = end - 1; i >= 0; i--) {
    const byte = byteEnd[i] ?? -1;
    if (byte >= 0) return byte;
  }
  return 0;
}

/** Marks the targets among row positions [at, at + count), which hold document positions from `from` on. */
function markTargets(
  { wrapped, from, count }: Piece,
  rules: PackingRules,
  { ids, eligible }: Pick<Sequence, 'ids' | 'eligible'>,
  at: number,
): void {
  for (let i = 0; i < count; i++) {
    const position = from + i;
    const isBos = ids[at + i] === rules.bosId;
    const isEos = position === wrapped.count - 1 && rules.eosId !== null;
    const hasContext = at + i > 0 && (position > 0 || rules.attention === 'across');
    eligible[at + i] = hasContext && !isBos && (!isEos || rules.eosEligible) ? 1 : 0;
  }
}

function packAcrossDocuments(rules: PackingRules): Packer {
  let nextId = 0;
  let ids = new Int32Array(rules.length);
  let eligible = new Uint8Array(rules.length);
  let segments: Segment[] = [];
  let filled = 0;
  /** Ids of the open row that are targets of no earlier row: a row that holds only context is not written. */
  let fresh = 0;

  function close(): Sequence {
    const sequence: Sequence = {
      id: nextId++,
      ids: ids.subarray(0, filled),
      eligible: eligible.subarray(0, filled),
      segments,
    };
    ids = new Int32Array(rules.length);
    eligible = new Uint8Array(rules.length);
    segments = [];
    filled = 0;
    fresh = 0;
    return sequence;
  }

  return {
    push(document) {
      const done: Sequence[] = [];
      const wrapped = wrap(document, rules);
      let from = 0;
      while (from < wrapped.count) {
        const count = Math.min(rules.length - filled, wrapped.count - from);
        const piece = { wrapped, from, count };
        copyIds(piece, rules, ids, filled);
        markTargets(piece, rules, { ids, eligible }, filled);
        segments.push(segmentOf(piece, filled));
        filled += count;
        fresh += count;
        from += count;
        if (filled < rules.length) break;
        done.push(close());
        // The last id opens the next row as context.
        const last = { wrapped, from: from - 1, count: 1 };
        copyIds(last, rules, ids, 0);
        segments.push(segmentOf(last, 0));
        filled = 1;
        if (from < wrapped.count) {
          // One document's context and continuation are one segment.
          segments.pop();
          filled = 0;
          from -= 1;
          fresh = -1;
        }
      }
      return done;
    },
    finish() {
      return fresh > 0 ? [close()] : [];
    },
  };
}

function packByDocument(rules: PackingRules): Packer {
  let nextId = 0;
  return {
    push(document) {
      const wrapped = wrap(document, rules);
      const rows: Sequence[] = [];
      for (let start = 0, counted = 0; counted < wrapped.count; ) {
        const count = Math.min(rules.length, wrapped.count - start);
        const ids = new Int32Array(count);
        const eligible = new Uint8Array(count);
        const piece = { wrapped, from: start, count };
        copyIds(piece, rules, ids, 0);
        markTargets(piece, rules, { ids, eligible }, 0);
        eligible.fill(0, 0, counted - start);
        rows.push({ id: nextId++, ids, eligible, segments: [segmentOf(piece, 0)] });
        counted = start + count;
        start = counted - rules.overlap;
      }
      return rows;
    },
    finish: () => [],
  };
}
