/** From scored rows, which may hold pieces of several documents, to the loss of each document. */
import type { ScoredSequence } from '../score/scorer.js';
import type { DocumentLoss } from './estimate.js';

/** What is known of a document before it is scored. */
export interface PendingDocument {
  /** Row in the shard. */
  readonly row: number;
  readonly domain: string;
  readonly tokens: number;
  readonly textBytes: number;
  /** Text bytes before its second token, for a document whose first token has nothing to be predicted from. */
  readonly leadBytes: number;
}

export interface FinishedDocument extends DocumentLoss {
  readonly domain: string;
  readonly textBytes: number;
}

/** Documents of one part, in order: announced when they are packed, finished when their last row is scored. */
export interface DocumentLosses {
  expect(document: PendingDocument): void;
  /** The documents that these rows, the next ones in order, show to be complete. */
  add(rows: readonly ScoredSequence[]): FinishedDocument[];
  /** The rest. */
  finish(): FinishedDocument[];
}

export function documentLosses(): DocumentLosses {
  const pending: PendingDocument[] = [];
  let open: { row: number; loss: number; targets: number; firstIsTarget: boolean } | null = null;

  /** Finishes the open document, and those before it that gave no token at all. */
  function close(): FinishedDocument[] {
    if (open === null) return [];
    const at = pending.findIndex(({ row }) => row === open?.row);
    if (at < 0) throw new Error(`row ${open.row} was scored and never packed`);
    const finished = pending
      .splice(0, at + 1)
      .map((document) => (document.row === open?.row ? finishedOf(document, open) : withoutTokens(document)));
    open = null;
    return finished;
  }

  return {
    expect(document) {
      pending.push(document);
    },
    add(rows) {
      const finished: FinishedDocument[] = [];
      for (const { sequence, current } of rows) {
        for (const { document, tokenStart, tokenCount } of sequence.segments) {
          if (open?.row !== document) {
            finished.push(...close());
            open = { row: document, loss: 0, targets: 0, firstIsTarget: sequence.eligible[tokenStart] === 1 };
          }
          for (let i = tokenStart; i < tokenStart + tokenCount; i++) {
            if (sequence.eligible[i] !== 1) continue;
            open.loss += current?.loss[i] ?? Number.NaN;
            open.targets++;
          }
        }
      }
      return finished;
    },
    finish() {
      return [...close(), ...pending.splice(0).map(withoutTokens)];
    },
  };
}

function finishedOf(
  { domain, tokens, textBytes, leadBytes }: PendingDocument,
  { loss, targets, firstIsTarget }: { loss: number; targets: number; firstIsTarget: boolean },
): FinishedDocument {
  const bytes = firstIsTarget ? textBytes : textBytes - leadBytes;
  return { domain, textBytes, tokens, targets, bytes, loss };
}

const withoutTokens = ({ domain, tokens, textBytes }: PendingDocument): FinishedDocument => ({
  domain,
  textBytes,
  tokens,
  targets: 0,
  bytes: 0,
  loss: 0,
});
