import { basename, dirname } from 'node:path';
import { TokensieveError } from '../../errors.js';
import type { Device, ModelInfo } from '../../model/prepared-model.js';
import { packingRules } from '../../pack/text-rows.js';
import type { ModelInputs } from '../../score/open-inputs.js';
import { openModels } from '../../score/open-models.js';
import { unscored } from '../../score/scorer.js';
import type { PackingRules } from '../../sequence/packing.js';
import { sequenceSettings } from '../../sequence/settings.js';
import { openDiagnosis } from './diagnosis.js';
import { openDocument, rowTokens, type ScoringDocument, textResult } from './document.js';
import { createEstimate } from './estimate.js';
import { createLane, type LaneFigures } from './lane.js';
import { lazyModels } from './models.js';
import { retryAfter } from './rate.js';
import { Refusal } from './refusal.js';
import { createRoom, type Place } from './room.js';
import type { ModelFacts, PairFacts, ScoreResponse, ScoreSelection } from './schemas.js';
import { maxTokensOf, type PairSettings, type ScoringSettings } from './settings.js';
import { checkTexts } from './texts.js';
import { inTurns } from './turns.js';
import { requestWeights, type ScoredDocument } from './weights.js';

/** A pair of models and the queue before it. */
export interface Pair {
  readonly facts: PairFacts;
  /** What the log says of the models, one line each. */
  readonly warnings: readonly string[];
  score(
    texts: readonly string[],
    select: ScoreSelection | undefined,
    signal: AbortSignal,
  ): Promise<ScoreResponse>;
  /** Loads the weights, which otherwise the first request does. */
  load(): Promise<void>;
  figures(): PairFigures;
  /** Resolves when what is at work is done and the models are unloaded. */
  close(): Promise<void>;
}

export interface PairFigures extends LaneFigures {
  readonly name: string;
  readonly loaded: boolean;
  /** Tokens that wait, those of requests being tokenized by estimate. */
  readonly queuedTokens: number;
  readonly queueLimit: number;
}

/**
 * Opens the tokenizer and builds the graphs; both models must be of one tokenizer. The weights are not loaded yet.
 * @throws TokensieveError (usage, fatal) whatever the models and the tokenizer of a scoring run throw
 */
export async function openPair(own: PairSettings, settings: ScoringSettings, device: Device): Promise<Pair> {
  const inputs = await openModels(
    {
      reference: own.reference,
      current: own.current,
      tokenizer: { path: own.tokenizer, control_tokens: own.control_tokens },
      sequence: { attention: 'across', length: own.max_tokens },
      score: { entropy: own.entropy, precision: settings.precision, batch_tokens: settings.batch_tokens },
      run: {
        tokenizer_engine: settings.tokenizer_engine,
        cache: settings.cache,
        card_memory: settings.card_memory,
      },
    },
    device,
  );
  const { tokenizer, models, roles } = inputs;
  const packing = documentRules(own, inputs);
  const maxTokens = packing.length;
  const marks = Number(packing.bosId !== null) + Number(packing.eosId !== null);
  const loaded = lazyModels(() => inputs.openScorer({ threads: settings.threads }));
  const lane = createLane(loaded, inputs.batchRules({ length: maxTokens, attention: packing.attention }));
  const room = createRoom(settings.queue_tokens);
  const estimate = createEstimate(settings.request_tokens);
  const facts: PairFacts = {
    name: own.name,
    reference: factsOf(models.reference?.info),
    current: factsOf(models.current?.info),
    max_tokens: maxTokens,
  };

  const full = (tokens: number): Refusal => {
    const seconds = retryAfter(tokens, room.held(), room.limit, lane.figures().tokensPerSecond);
    return new Refusal(
      429,
      'queue-full',
      `${room.held()} tokens wait for "${own.name}", at most ${room.limit} may; try again in ${seconds} s`,
      seconds,
    );
  };

  const openDocuments = async (texts: readonly string[], signal: AbortSignal): Promise<ScoringDocument[]> => {
    const encodings = await tokenizer.encode(texts);
    signal.throwIfAborted();
    const aside = encodings.findIndex(({ unspellable }) => unspellable !== undefined);
    if (aside >= 0)
      throw new Refusal(422, 'unspellable', `text ${aside}: ${encodings[aside]?.unspellable}; leave it out`);
    const found = encodings.reduce((sum, { ids }) => sum + rowTokens(ids.length + marks, packing), 0);
    if (found > settings.request_tokens) {
      throw new Refusal(
        413,
        'too-many-tokens',
        `the texts have ${found} tokens (with the context that rows of ${maxTokens} repeat), at most ${settings.request_tokens} a request; send fewer texts at a time`,
      );
    }
    const documents = await inTurns(
      encodings,
      ({ ids }) => ids.length,
      (encoding, index) => openDocument(texts[index] ?? '', encoding, packing),
    );
    signal.throwIfAborted();
    return documents;
  };

  const runDocuments = async (
    documents: readonly ScoringDocument[],
    place: Place,
    signal: AbortSignal,
    onStart: () => void,
  ): Promise<ScoredDocument[]> => {
    const sequences = documents.flatMap(({ rows }) => rows.map(({ sequence }) => sequence));
    const targets = sequences.filter(({ eligible }) => eligible.includes(1));
    let waiting = targets.reduce((sum, { ids }) => sum + ids.length, 0);
    if (!place.resize(waiting)) throw full(waiting);
    const found = await lane
      .run(targets, signal, (tokens) => {
        onStart();
        waiting = Math.max(0, waiting - tokens);
        place.resize(waiting);
      })
      .catch((error: unknown) => {
        throw failure(own.name, error);
      });
    const scored = new Map(targets.map((sequence, index) => [sequence, found[index]]));
    return documents.map((document) => ({
      document,
      scored: document.rows.map(
        ({ sequence }) => scored.get(sequence) ?? unscored(sequence, roles, own.entropy),
      ),
    }));
  };

  return {
    facts,
    warnings: inputs.warnings,
    async score(texts, select, signal) {
      signal.throwIfAborted();
      const arrived = performance.now();
      const weights = select && requestWeights(select, { roles, entropy: own.entropy });
      const bytes = checkTexts(texts);
      const guess = estimate.tokens(bytes, texts.length);
      const place = room.take(guess);
      if (place === null) throw full(guess);
      signal.addEventListener('abort', place.release, { once: true });
      try {
        const documents = await openDocuments(texts, signal);
        estimate.note(
          bytes,
          documents.reduce((sum, { ids }) => sum + rowTokens(ids.length, packing), 0),
        );
        let began: number | null = null;
        const scored = await runDocuments(documents, place, signal, () => {
          began ??= performance.now();
        });
        // Nothing is answered in the name of a model that lies elsewhere by now.
        await inputs.look().catch((error: unknown) => {
          throw failure(own.name, error);
        });
        const ended = performance.now();
        const weighed = await weights?.weigh(scored);
        const diagnosis = openDiagnosis(weights?.traits);
        const results = await inTurns(
          scored,
          ({ document }) => document.ids.length,
          (one, index) => {
            diagnosis.add(one, weighed?.[index]);
            return textResult(one.document, one.scored, weighed?.[index] ?? null, maxTokens);
          },
        );
        return {
          model: own.name,
          results,
          diagnosis: roles.length === 2 ? diagnosis.conclude() : null,
          timing: {
            queue_ms: milliseconds((began ?? ended) - arrived),
            score_ms: milliseconds(ended - (began ?? ended)),
          },
        };
      } finally {
        signal.removeEventListener('abort', place.release);
        place.release();
      }
    },
    async load() {
      await loaded.get();
    },
    figures: () => ({
      name: own.name,
      loaded: loaded.loaded(),
      queuedTokens: room.held(),
      queueLimit: room.limit,
      ...lane.figures(),
    }),
    async close() {
      await lane.idle();
      await loaded.close();
      await inputs.close();
    },
  };
}

/** Rows as a run with `sequence.packing: document` and its other defaults makes them. */
function documentRules(own: PairSettings, { tokenizer, models }: ModelInputs): PackingRules {
  const positions = [models.reference, models.current].map((model) => model?.info.maxPositions ?? null);
  const sequence = sequenceSettings.parse({
    length: maxTokensOf(own.max_tokens, positions),
    packing: 'document',
    ...(own.overlap !== undefined && { overlap: own.overlap }),
  });
  return packingRules(sequence, tokenizer);
}

/** Folders are not told: a model goes by the last part of its path that says something. */
function factsOf(info: ModelInfo | undefined): ModelFacts | null {
  if (info === undefined) return null;
  const { folder, architecture, parameters, hash } = info;
  const last = basename(folder);
  const name = last === 'model' ? basename(dirname(folder)) || last : last;
  return { name, architecture, parameters, hash };
}

/** Failures of the models, with words that are fit for a client; the cause says it all. */
function failure(name: string, error: unknown): unknown {
  if (!(error instanceof TokensieveError)) return error;
  if (error.code === 'model-changed') {
    return new Refusal(
      503,
      error.code,
      `a file of the models of "${name}" has changed since the service opened them; they answer again once it is started anew`,
      undefined,
      { cause: error },
    );
  }
  return error.code === 'loss-not-finite'
    ? new Refusal(500, error.code, error.message, undefined, { cause: error })
    : new Refusal(
        503,
        'models-failed',
        `the models of "${name}" failed (${error.code}) and are loaded anew; try again, or see the service's log`,
        1,
        { cause: error },
      );
}

const milliseconds = (value: number): number => Math.round(value * 100) / 100;
