import { chooseDevice } from '../../device/device.js';
import { openPair, type Pair, type PairFigures } from './pair.js';
import { Refusal } from './refusal.js';
import { type PairFacts, type ScoreRequest, type ScoreResponse, scoreRequest } from './schemas.js';
import { type ScoringInput, scoringSettings } from './settings.js';

/** Scoring of texts, for the routes. */
export interface Scoring {
  /** The pairs, the default first. */
  models(): readonly PairFacts[];
  /** What the log says of the models, one line each. */
  warnings(): readonly string[];
  /**
   * Scores texts. A raised signal frees the request's place at once and rejects with its reason.
   * @throws Refusal with the HTTP status, a code and one line: 400 `bad-request` and what is wrong with a selection,
   *   404 `unknown-model`, 413 `text-too-long`, `too-many-tokens`, 422 `constant-scores`, 429 `queue-full` (with
   *   `retryAfter`), 500 `loss-not-finite`, 503 `closing`, `models-failed`
   */
  score(request: ScoreRequest, signal: AbortSignal): Promise<ScoreResponse>;
  stats(): ScoringStats;
  /** Refuses what comes, finishes what is at work (raise its signals to have it sooner), unloads the models. */
  close(): Promise<void>;
}

/** For metrics. Tokens are ids of rows, context that a long text's rows repeat included; counts are since the start. */
export interface ScoringStats {
  readonly queued_tokens: number;
  readonly running_tokens: number;
  readonly scored_tokens: number;
  readonly open_requests: number;
  readonly scored_requests: number;
  readonly scored_texts: number;
  readonly aborted_requests: number;
  /** Requests refused or failed, by code. */
  readonly refused_requests: Readonly<Record<string, number>>;
  readonly batches: number;
  readonly failed_batches: number;
  /** Share of the batches' positions that were padding. */
  readonly padding: number;
  readonly models: readonly {
    readonly name: string;
    readonly loaded: boolean;
    readonly queued_tokens: number;
    readonly queue_limit: number;
    /** While at work; null before the first batch. */
    readonly tokens_per_second: number | null;
  }[];
}

/**
 * Opens the pairs of models. Every pair's tokenizer is opened and its graphs are built and checked at once, so that
 * a wrong folder is found now; weights are loaded at the first request, or now with `preload`.
 *
 * Memory of an idle pair: its tokenizer, and once it has been asked, the weights of both models as the device computes
 * them (fp32 on the CPU: 4 bytes a parameter and model) with the largest batch's activations. It is not given back
 * before the service ends.
 *
 * @throws TokensieveError (usage, fatal) whatever the models and tokenizers of a scoring run throw
 */
export async function openScoring(input: ScoringInput): Promise<Scoring> {
  const settings = scoringSettings.parse(input);
  const { device } = settings.models.length > 0 ? chooseDevice(settings.device) : { device: 'cpu' as const };
  const pairs = new Map<string, Pair>();
  const closePairs = async (): Promise<void> => {
    await Promise.all([...pairs.values()].map((pair) => pair.close()));
  };
  try {
    for (const own of settings.models) pairs.set(own.name, await openPair(own, settings, device));
    if (settings.preload) for (const pair of pairs.values()) await pair.load();
  } catch (error) {
    await closePairs();
    throw error;
  }

  const counts = { open: 0, scored: 0, texts: 0, aborted: 0 };
  const refused = new Map<string, number>();
  let closing: Promise<void> | null = null;
  const idle: (() => void)[] = [];

  const pairNamed = (name: string | undefined): Pair => {
    const [first] = pairs.values();
    const pair = name === undefined ? first : pairs.get(name);
    if (pair !== undefined) return pair;
    const known = [...pairs.keys()];
    throw new Refusal(
      404,
      'unknown-model',
      known.length === 0
        ? 'no models are served here; start the service with --models NAME=REFERENCE,CURRENT'
        : `model "${name}" is unknown; expected one of ${known.join(', ')}`,
    );
  };

  const score = async (request: ScoreRequest, signal: AbortSignal): Promise<ScoreResponse> => {
    if (closing !== null) throw new Refusal(503, 'closing', 'the service is stopping', 5);
    const parsed = scoreRequest.safeParse(request);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new Refusal(400, 'bad-request', `${issue?.path.join('.') || 'body'}: ${issue?.message}`);
    }
    const { model, texts, select } = parsed.data;
    return await pairNamed(model).score(texts, select, signal);
  };

  return {
    models: () => [...pairs.values()].map(({ facts }) => facts),
    warnings: () => [...pairs.values()].flatMap((pair) => pair.warnings),
    async score(request, signal) {
      counts.open++;
      try {
        const response = await score(request, signal);
        counts.scored++;
        counts.texts += response.results.length;
        return response;
      } catch (error) {
        if (signal.aborted) counts.aborted++;
        else {
          const code = error instanceof Refusal ? error.code : 'unexpected';
          refused.set(code, (refused.get(code) ?? 0) + 1);
        }
        throw error;
      } finally {
        counts.open--;
        if (counts.open === 0) for (const tell of idle.splice(0)) tell();
      }
    },
    stats() {
      const figures = [...pairs.values()].map((pair) => pair.figures());
      const sum = (of: (pair: PairFigures) => number): number =>
        figures.reduce((total, pair) => total + of(pair), 0);
      const positions = sum((pair) => pair.positions);
      const scored = sum((pair) => pair.scoredTokens);
      return {
        queued_tokens: sum((pair) => pair.queuedTokens),
        running_tokens: sum((pair) => pair.runningTokens),
        scored_tokens: scored,
        open_requests: counts.open,
        scored_requests: counts.scored,
        scored_texts: counts.texts,
        aborted_requests: counts.aborted,
        refused_requests: Object.fromEntries(refused),
        batches: sum((pair) => pair.batches),
        failed_batches: sum((pair) => pair.failedBatches),
        padding: positions === 0 ? 0 : 1 - scored / positions,
        models: figures.map((pair) => ({
          name: pair.name,
          loaded: pair.loaded,
          queued_tokens: pair.queuedTokens,
          queue_limit: pair.queueLimit,
          tokens_per_second: pair.tokensPerSecond,
        })),
      };
    },
    close() {
      closing ??= (async () => {
        if (counts.open > 0) await new Promise<void>((resolve) => idle.push(resolve));
        await closePairs();
      })();
      return closing;
    },
  };
}
