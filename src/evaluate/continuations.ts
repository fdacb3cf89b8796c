/** Log-likelihoods of continuations: tokenized as lm-evaluation-harness does, scored as rows of any corpus are. */
import { locatedError } from '../errors.js';
import { type ScoringRules, scoreSequences } from '../score/stage.js';
import type { Sequence } from '../sequence/sequence.js';
import { utf8Bytes } from '../tokenizer/bytes.js';
import type { Encoding } from '../tokenizer/tokenizer.js';
import { groupsOf } from './groups.js';
import type { Examinee } from './open.js';
import { type Prompt, TARGET_DELIMITER } from './prompts.js';
import { asEncoded, type ContinuationRow } from './request-rows.js';
import { strippedContext } from './stripped-context.js';

/** Prompts tokenized in one call. */
const PROMPTS_A_CALL = 64;

export interface NumberedPrompt {
  /** Line in the task's file. */
  readonly row: number;
  /** Bytes of that line. */
  readonly lineBytes: number;
  readonly prompt: Prompt;
}

/** One continuation under the model. */
export interface ScoredContinuation {
  /** Σ ln p over its tokens, float64. */
  readonly logLikelihood: number;
  /** Tokens of the continuation. */
  readonly targets: number;
  /** Ids of the row, context included. */
  readonly tokens: number;
  /** UTF-8 bytes that are scored, the space before the choice included. */
  readonly bytes: number;
  /** Context ids that the row had no room for, dropped from its start. */
  readonly dropped: number;
}

export interface ScoredPrompt extends NumberedPrompt {
  /** One for each choice. */
  readonly continuations: readonly ScoredContinuation[];
}

/**
 * The row of a continuation. Context and continuation are encoded together and parted at the length of the encoded
 * context; a row longer than `length` loses ids from its start, BOS first. Null when the row cannot hold the
 * continuation and one id of context, or when the continuation has no token of its own.
 *
 * @param context as `asEncoded` gives it, and so `whole`, the context with its continuation
 */
export function continuationRow(
  context: Int32Array,
  whole: Int32Array,
  length: number,
): ContinuationRow | null {
  const targets = whole.length - context.length;
  if (targets < 1 || targets >= length || context.length === 0) return null;
  const ids = Int32Array.from([...context, ...whole.subarray(context.length)]);
  const dropped = Math.max(0, ids.length - length);
  return { ids: ids.subarray(dropped), targets, dropped };
}

/**
 * Scores every choice of every prompt, in order. Rows wait in windows of bounded size and share batches with rows of
 * like length; a prompt that the model has no room for is given to `refuse` and left out.
 */
export async function* scorePrompts(
  prompts: AsyncIterable<NumberedPrompt>,
  examinee: Examinee,
  place: string,
  refuse: (row: number, reason: 'oversized-item' | 'unspellable', detail: string) => void,
): AsyncGenerator<ScoredPrompt> {
  const waiting: { readonly one: NumberedPrompt; readonly rows: readonly ContinuationRow[] }[] = [];
  const rules: ScoringRules = examinee.scoring;
  let nextId = 0;

  async function* sequences(): AsyncGenerator<readonly Sequence[]> {
    for await (const group of groupsOf(prompts, PROMPTS_A_CALL)) {
      for (const { one, rows, why } of await encodePrompts(group, examinee, place)) {
        if (why !== undefined) {
          refuse(one.row, 'unspellable', why);
          continue;
        }
        const complete = rows.filter((row) => row !== null);
        if (complete.length < rows.length) {
          refuse(
            one.row,
            'oversized-item',
            `a choice has no token of its own, or more than a row of ${rules.length} ids can hold`,
          );
          continue;
        }
        waiting.push({ one, rows: complete });
        yield complete.map((row) => sequenceOf(row, nextId++, one.row));
      }
    }
  }

  let continuations: ScoredContinuation[] = [];
  for await (const scored of scoreSequences(sequences(), examinee.scorer, rules)) {
    for (const { current } of scored) {
      const next = waiting[0];
      const row = next?.rows[continuations.length];
      if (next === undefined || row === undefined || current === undefined) {
        throw new Error(`${place}: more rows came back than were asked for`);
      }
      const choice = next.one.prompt.choices[continuations.length] ?? '';
      continuations.push({
        logLikelihood: -sumOfLosses(current.loss),
        targets: row.targets,
        tokens: row.ids.length,
        bytes: utf8Bytes(TARGET_DELIMITER + choice),
        dropped: row.dropped,
      });
      if (continuations.length === next.rows.length) {
        waiting.shift();
        yield { ...next.one, continuations };
        continuations = [];
      }
    }
  }
}

/** Σ over the targets; NaN marks what is none. */
function sumOfLosses(losses: Float32Array): number {
  let sum = 0;
  for (const loss of losses) if (!Number.isNaN(loss)) sum += loss;
  return sum;
}

export function sequenceOf({ ids, targets }: ContinuationRow, id: number, document: number): Sequence {
  const eligible = new Uint8Array(ids.length);
  eligible.fill(1, ids.length - targets);
  const segment = { document, tokenStart: 0, tokenCount: ids.length, byteStart: 0, byteEnd: 0 };
  return { id, ids, eligible, segments: [segment] };
}

interface EncodedPrompt {
  readonly one: NumberedPrompt;
  readonly rows: readonly (ContinuationRow | null)[];
  /** Why it has no ids, where it has none. */
  readonly why?: string;
}

async function encodePrompts(
  group: readonly NumberedPrompt[],
  { tokenizer, packing }: Examinee,
  place: string,
): Promise<EncodedPrompt[]> {
  // White space at the context's end belongs to the continuations.
  const texts = group.flatMap(({ prompt: { context, choices } }) => [
    strippedContext(context),
    ...choices.map((choice) => context + TARGET_DELIMITER + choice),
  ]);
  const encodings = await tokenizer.encode(texts).catch((error: unknown) => {
    throw locatedError(
      `${place}, lines ${(group[0]?.row ?? 0) + 1} to ${(group.at(-1)?.row ?? 0) + 1}`,
      error,
    );
  });
  let at = 0;
  const next = (): Encoding => {
    const encoding = encodings[at++];
    if (encoding === undefined)
      throw new Error(`the tokenizer gave too few results for ${texts.length} texts`);
    return encoding;
  };
  return group.map((one) => {
    const own = [next(), ...one.prompt.choices.map(next)];
    const why = own.find(({ unspellable }) => unspellable !== undefined)?.unspellable;
    const [context = new Int32Array(0), ...wholes] = own.map(({ ids }) => asEncoded(ids, tokenizer.requests));
    const rows = wholes.map((whole) => continuationRow(context, whole, packing.length));
    return { one, rows, ...(why !== undefined && { why }) };
  });
}
