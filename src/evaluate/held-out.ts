import { createHash } from 'node:crypto';
import type { CorpusRow } from '../corpus/document.js';
import { expandShards } from '../corpus/expand.js';
import { readShard } from '../corpus/read-shard.js';
import type { PartReading, ReadOptions } from '../corpus/shard.js';
import { locatedError } from '../errors.js';
import { createTextLedger } from '../pack/part-text.js';
import { textRows } from '../pack/text-rows.js';
import { type Planned, planShards } from '../pack/work.js';
import type { EventSink } from '../parts/events.js';
import type { BrokenShard } from '../parts/parts-job.js';
import type { Report } from '../parts/report-file.js';
import { scoreSequences } from '../score/stage.js';
import type { PackingRules, TokenizedDocument } from '../sequence/packing.js';
import type { Storage } from '../storage/storage.js';
import { refuseChanged } from '../storage/unchanged.js';
import { documentLosses, type FinishedDocument } from './document-losses.js';
import { domainOf, domainTallies, NO_DOMAIN, URL_COLUMN } from './domains.js';
import { type LossSummary, lossTally } from './estimate.js';
import type { Examinee } from './open.js';
import type { EvaluateSettings } from './settings.js';

/** Loss of one named set of held-out documents. */
export interface HeldOutSet extends LossSummary {
  /** Column that domains come from. */
  readonly by: string;
  /** By domain, of most targets first; empty where no document has one. */
  readonly domains: ReadonlyMap<string, LossSummary>;
  readonly shards: readonly string[];
  /** sha256 over the documents that were read: what was measured is known without the files' paths. */
  readonly textSha256: string;
  /** Rows set aside, by reason. */
  readonly quarantined: Readonly<Record<string, number>>;
  readonly brokenShards: readonly BrokenShard[];
}

export interface HeldOutContext {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/** A set's shards, found and planned: nothing of their text is read yet. */
export interface PlannedSet extends Planned {
  readonly name: string;
}

export function heldOutReading({ corpus, by }: EvaluateSettings): ReadOptions {
  return {
    columns: { text: corpus.text, keep: [by ?? URL_COLUMN] },
    maxTextBytes: corpus.max_text_bytes,
    partBytes: corpus.part_bytes,
    ...(corpus.max_page_bytes !== undefined && { maxPageBytes: corpus.max_page_bytes }),
  };
}

/** @throws TokensieveError (usage) as `expandShards` does */
export async function planSet(
  { storage, sink }: HeldOutContext,
  name: string,
  patterns: readonly string[],
  settings: EvaluateSettings,
): Promise<PlannedSet> {
  const shards = await expandShards(storage, patterns);
  return { name, ...(await planShards(storage, shards, heldOutReading(settings), undefined, sink)) };
}

/**
 * Loss of every document of a set, read as a stream: memory is bounded by the windows that batches are cut from and
 * by the number of domains. Parts and rows are those that scoring the same shards would make.
 */
export async function evaluateSet(
  context: HeldOutContext,
  { name, plans, broken }: PlannedSet,
  examinee: Examinee,
  settings: EvaluateSettings,
): Promise<HeldOutSet> {
  const total = lossTally();
  const domains = domainTallies();
  const digest = createHash('sha256');
  const quarantined: Record<string, number> = {};
  let left = settings.limit ?? Number.POSITIVE_INFINITY;

  const count = (finished: readonly FinishedDocument[]): void => {
    for (const document of finished) {
      total.add(document);
      domains.add(document.domain, document);
    }
    const sum = (of: 'tokens' | 'textBytes'): number => finished.reduce((s, one) => s + one[of], 0);
    context.sink({ event: 'progress', tokens: sum('tokens'), text_bytes: sum('textBytes') });
  };

  for (const plan of plans) {
    if (left <= 0) break;
    const shard = plan.shard.name;
    for await (const reading of readShard(context.storage, plan, heldOutReading(settings))) {
      context.signal.throwIfAborted();
      const ledger = createTextLedger(null, [], 'scored', NO_REPORT, ({ kind: _, ...entry }) => {
        context.sink({ event: 'quarantined', shard, ...entry });
      });
      const losses = documentLosses();
      const place = { shard, part: reading.part };
      const { tokenizer, packing } = examinee;
      const sequences = textRows(firstDocuments(reading, left), {
        tokenizer,
        packing,
        ledger,
        place,
        tell: (documents) => {
          for (const { document, tokenized, tokens } of documents) {
            losses.expect({
              row: document.row,
              domain: domainOf(document.columns, settings.by),
              tokens,
              textBytes: document.textBytes,
              leadBytes: leadBytes(tokenized, packing),
            });
          }
        },
      });
      const located = {
        score: (batch: Parameters<typeof examinee.scorer.score>[0]) =>
          examinee.scorer.score(batch).catch((error: unknown) => {
            throw locatedError(`${name}: ${shard} part ${reading.part}`, error);
          }),
      };
      for await (const rows of scoreSequences(sequences, located, examinee.scoring)) {
        context.signal.throwIfAborted();
        count(losses.add(rows));
      }
      count(losses.finish());
      const read = ledger.counts();
      left -= read.documents;
      digest.update(`${shard}\t${reading.part}\t${read.textSha256}\n`);
      for (const [reason, rows] of Object.entries(read.quarantined)) {
        quarantined[reason] = (quarantined[reason] ?? 0) + rows;
      }
      if (left <= 0) break;
    }
    await refuseChanged(context.storage, plan.shard.path, plan.identity);
  }
  const byDomain = domains.summaries();
  return {
    ...total.summary(),
    by: settings.by ?? URL_COLUMN,
    domains: byDomain.size === 1 && byDomain.has(NO_DOMAIN) ? new Map() : byDomain,
    shards: plans.map(({ shard }) => shard.name),
    textSha256: digest.digest('hex'),
    quarantined,
    brokenShards: broken,
  };
}

/** Rows set aside are told and counted; a file of them is scoring's. */
const NO_REPORT: Report = {
  write: async () => undefined,
  finish: async () => null,
  commit: async () => undefined,
  abort: async () => undefined,
};

/** The part's rows up to its document number `most`, counted from 1. */
async function* firstDocuments({ rows }: PartReading, most: number): AsyncGenerator<CorpusRow> {
  let documents = 0;
  for await (const row of rows) {
    yield row;
    if (row.kind === 'document' && ++documents >= most) return;
  }
}

/**
 * Text bytes that no target spells when a document's first position has no context: none where that is BOS, else
 * those before the second token.
 */
function leadBytes(document: TokenizedDocument, { bosId }: PackingRules): number {
  if (bosId !== null || document.ids.length === 0) return 0;
  const second = document
    .offsets()
    .byteStart.subarray(1)
    .find((byte) => byte >= 0);
  return second ?? document.textBytes;
}
