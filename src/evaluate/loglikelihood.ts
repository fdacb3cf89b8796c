/** Requests in, log-likelihoods out: what lm-evaluation-harness asks of a model, over files. */
import { TokensieveError, usageError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { EventSink } from '../parts/events.js';
import type { TokenLosses } from '../score/scorer.js';
import { scoreSequences } from '../score/stage.js';
import type { Sequence } from '../sequence/sequence.js';
import { absolutePath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { RequestMarks } from '../tokenizer/tokenizer.js';
import { continuationRow, sequenceOf } from './continuations.js';
import { groupsOf } from './groups.js';
import type { LoglikelihoodSettings } from './loglikelihood-settings.js';
import { type Examinee, openExaminee } from './open.js';
import { readRecords } from './read-records.js';
import { asEncoded, type ContinuationRow, rollingRows, unconditionedRow } from './request-rows.js';
import { type Request, requestsOf } from './requests.js';
import { evaluateSequence } from './settings.js';
import { strippedContext } from './stripped-context.js';

/** Requests tokenized in one call. */
const REQUESTS_A_CALL = 64;

/** One answer, as a line of the output has it. */
export interface Answer {
  /** Line of the request, from 0, and its place among that line's. */
  readonly line: number;
  readonly request: number;
  /** `id`, `doc_id`, `idx` of the line. */
  readonly names: JsonObject;
  /** Σ ln p over the tokens asked for, float64. */
  readonly logprob: number;
  /** Whether each of them is the likeliest one at its place. */
  readonly isGreedy: boolean;
  readonly tokenIds: readonly number[];
  /** ln p of each. */
  readonly tokenLogprobs: readonly number[];
  /** Context ids that the row had no room for, dropped from its start. */
  readonly dropped: number;
}

export interface LoglikelihoodReport {
  readonly path: string;
  readonly answers: number;
  readonly tokens: number;
  /** Answers whose context was cut. */
  readonly truncated: number;
  /** Lines and requests set aside, by reason. */
  readonly quarantined: Readonly<Record<string, number>>;
  readonly length: number;
  readonly seconds: number;
}

export interface LoglikelihoodOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/**
 * Answers every request of a file, in order, into another: a line an answer, and a line with `error` for what is set
 * aside. The output is there whole or not at all.
 * @throws TokensieveError (usage) `no-requests`, `out-is-input`; as `openExaminee` throws; errors of the disk
 */
export async function answerRequests(
  settings: LoglikelihoodSettings,
  { storage, sink, signal }: LoglikelihoodOptions,
): Promise<LoglikelihoodReport> {
  const started = performance.now();
  const { requests: path, out } = settings;
  const { size } = await storage.stat(path).catch((error: unknown) => {
    if (!(error instanceof TokensieveError && error.code === 'not-found')) throw error;
    throw usageError('no-requests', `${path}: no such file; expected JSON lines of requests`, {
      cause: error,
    });
  });
  if (absolutePath(path) === absolutePath(out))
    throw usageError('out-is-input', `${out}: holds the requests; choose another --out`);
  const file = await storage.stage(out, { onConflict: 'replace', alone: true });
  const totals = { answers: 0, tokens: 0, truncated: 0 };
  const quarantined: Record<string, number> = {};
  let examinee: Examinee | null = null;
  try {
    examinee = await openForRequests(settings);
    for (const message of examinee.warnings) sink({ event: 'warning', message });
    sink({ event: 'planned', shards: 1, parts: 1, done: 0, text_bytes: size, done_bytes: 0 });
    for await (const entry of answersOf(requestLines(storage, path), examinee)) {
      signal.throwIfAborted();
      if ('reason' in entry) {
        const { line, request, reason, detail, names } = entry;
        quarantined[reason] = (quarantined[reason] ?? 0) + 1;
        sink({ event: 'quarantined', shard: path, row: line, rows: 1, reason, detail });
        await file.write(encode({ ...names, line, request, error: `${reason}: ${detail}` }));
        continue;
      }
      const { line, request, names, logprob, isGreedy, tokenIds, tokenLogprobs, dropped } = entry;
      totals.answers++;
      totals.tokens += tokenIds.length;
      if (dropped > 0) totals.truncated++;
      sink({ event: 'progress', tokens: tokenIds.length, text_bytes: entry.bytes });
      await file.write(
        encode({
          ...names,
          line,
          request,
          logprob,
          is_greedy: isGreedy,
          tokens: tokenIds.length,
          token_ids: tokenIds,
          token_logprobs: tokenLogprobs,
          dropped_context: dropped,
        }),
      );
    }
    await examinee.look();
    await file.commit();
    const seconds = (performance.now() - started) / 1000;
    return { path: out, ...totals, quarantined, length: examinee.packing.length, seconds };
  } catch (error) {
    await file.abort();
    // Weights that change under a session give losses that are no numbers, too.
    if (!signal.aborted) await examinee?.look();
    throw error;
  } finally {
    await examinee?.close();
  }
}

/** As the harness's default has it: control tokens spelled out are such, unless the tokenizer's own encoding splits them. */
async function openForRequests(settings: LoglikelihoodSettings): Promise<Examinee> {
  const { path, control_tokens } = settings.tokenizer;
  const open = (controlTokens: 'text' | 'special'): Promise<Examinee> =>
    openExaminee(
      {
        ...settings,
        tokenizer: { path, control_tokens: controlTokens },
        sequence: evaluateSequence.parse(settings.sequence),
      },
      { greedy: true, lastIsUnread: true },
    );
  if (control_tokens !== undefined) return open(control_tokens);
  return open('special').catch((error: unknown) => {
    if (error instanceof TokensieveError && error.code === 'unsupported-tokenizer') return open('text');
    throw error;
  });
}

const encode = (value: unknown): Uint8Array => Buffer.from(`${JSON.stringify(value)}\n`, 'utf8');

/** A request with its place, or why there is none. */
interface Asked {
  readonly line: number;
  readonly request: number;
  readonly names: JsonObject;
  /** Of the line, told with its first request. */
  readonly bytes: number;
  readonly asked: Request;
}
interface SetAside {
  readonly line: number;
  readonly request: number;
  readonly names: JsonObject;
  readonly reason:
    | 'bad-json'
    | 'not-unicode'
    | 'bad-item'
    | 'oversized-item'
    | 'unspellable'
    | 'broken-shard';
  readonly detail: string;
}

async function* requestLines(storage: Storage, path: string): AsyncGenerator<Asked | SetAside> {
  for await (const line of readRecords(storage, path, requestsOf)) {
    if (!('record' in line)) {
      yield { line: line.line, request: 0, names: {}, reason: line.reason, detail: line.detail };
      continue;
    }
    const { requests, names } = line.record;
    for (const [request, asked] of requests.entries()) {
      yield { line: line.line, request, names, bytes: request === 0 ? line.bytes : 0, asked };
    }
  }
}

/** Answers in the order of the requests. Rows wait in windows of bounded size and share batches with rows of like length. */
async function* answersOf(
  lines: AsyncIterable<Asked | SetAside>,
  examinee: Examinee,
): AsyncGenerator<(Answer & { readonly bytes: number }) | SetAside> {
  const { scoring, scorer } = examinee;
  /** In order; what is set aside among them, so that it comes out at its place. */
  const waiting: (SetAside | (Asked & { readonly rows: readonly ContinuationRow[] }))[] = [];
  let nextId = 0;

  async function* sequences(): AsyncGenerator<readonly Sequence[]> {
    for await (const group of groupsOf(lines, REQUESTS_A_CALL)) {
      const rows: Sequence[] = [];
      for (const one of await rowsOfGroup(group, examinee)) {
        waiting.push(one);
        if ('rows' in one) rows.push(...one.rows.map((row) => sequenceOf(row, nextId++, one.line)));
      }
      yield rows;
    }
  }

  let scored: TokenLosses[] = [];
  const ready = function* () {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      if ('rows' in next) {
        if (scored.length < next.rows.length) return;
        yield answerOf(next, next.rows, scored);
        // A request without a token takes none: what came after it is there already.
        scored = scored.slice(next.rows.length);
      } else yield next;
      waiting.shift();
    }
  };
  for await (const window of scoreSequences(sequences(), scorer, scoring)) {
    for (const { current } of window) {
      if (current === undefined) throw new Error('a row came back without losses');
      scored.push(current);
      yield* ready();
    }
  }
  yield* ready();
  if (waiting.length > 0 || scored.length > 0)
    throw new Error(`${waiting.length} requests without an answer, ${scored.length} rows without a request`);
}

function answerOf(
  { line, request, names, bytes }: Asked,
  rows: readonly ContinuationRow[],
  scored: readonly TokenLosses[],
): Answer & { readonly bytes: number } {
  const tokenIds: number[] = [];
  const tokenLogprobs: number[] = [];
  let logprob = 0;
  let isGreedy = true;
  for (const [r, { ids, targets }] of rows.entries()) {
    const { loss, greedy } = scored[r] ?? {};
    for (let i = ids.length - targets; i < ids.length; i++) {
      const own = -(loss?.[i] ?? Number.NaN) + 0;
      logprob += own;
      tokenIds.push(ids[i] ?? -1);
      tokenLogprobs.push(own);
      if (greedy?.[i] !== 1) isGreedy = false;
    }
  }
  const dropped = rows.reduce((sum, row) => sum + row.dropped, 0);
  return { line, request, names, bytes, logprob, isGreedy, tokenIds, tokenLogprobs, dropped };
}

/** The rows of each request, or why it has none. */
async function rowsOfGroup(
  group: readonly (Asked | SetAside)[],
  { tokenizer, packing }: Examinee,
): Promise<(SetAside | (Asked & { readonly rows: readonly ContinuationRow[] }))[]> {
  const texts = group.flatMap((one) => ('asked' in one ? textsOf(one.asked) : []));
  const encodings = await tokenizer.encode(texts);
  let at = 0;
  return group.map((one) => {
    if (!('asked' in one)) return one;
    const { asked, ...place } = one;
    const count = textsOf(asked).length;
    const found = encodings.slice(at, at + count);
    at += count;
    const why = found.find(({ unspellable }) => unspellable !== undefined)?.unspellable;
    if (why !== undefined) return { ...place, reason: 'unspellable' as const, detail: why };
    const own = found.map(({ ids }) => ids);
    const rows = rowsOfRequest(asked, own, tokenizer.requests, packing.length);
    if (rows.length > 0 || (asked.kind === 'text' && own[0]?.length === 0)) return { ...place, asked, rows };
    const { line, request, names } = place;
    const detail =
      asked.kind === 'text'
        ? 'the tokenizer has neither BOS nor EOS for the text to follow'
        : `the continuation has no token of its own, more than a row of ${packing.length} ids can hold, or nothing to follow`;
    return { line, request, names, reason: 'oversized-item' as const, detail };
  });
}

/** What is to be encoded for a request: of a pair the context and, with it, the continuation. */
function textsOf(asked: Request): readonly string[] {
  if (asked.kind === 'text') return [asked.text];
  const { context, continuation } = asked;
  return context === '' ? [continuation] : [strippedContext(context), context + continuation];
}

function rowsOfRequest(
  asked: Request,
  [first = new Int32Array(0), whole]: readonly Int32Array[],
  marks: RequestMarks,
  length: number,
): readonly ContinuationRow[] {
  if (asked.kind === 'text') return rollingRows(asEncoded(first, marks), marks, length);
  const row =
    whole === undefined
      ? unconditionedRow(first, marks, length)
      : continuationRow(asEncoded(first, marks), asEncoded(whole, marks), length);
  return row === null ? [] : [row];
}
