import { Readable } from 'node:stream';
import { errorSchema } from '../api.js';
import { type App, failures } from '../http/app.js';
import { answerPieces } from './answer.js';
import type { Scoring } from './open.js';
import { Refusal } from './refusal.js';
import { modelsResponse, type ScoreResponse, scoreRequest, scoreResponse } from './schemas.js';

/** Bytes of a body: texts at their limits, with room for escapes. */
const BODY_LIMIT = 8 << 20;
/** Answers of more tokens are sent in pieces. */
const WHOLE_ANSWER_TOKENS = 8192;
const TIME_LIMIT_MS = 120_000;

/** `GET /v1/models` and `POST /v1/score`. */
export function scoreRoutes(app: App, scoring: Scoring, { timeLimitMs = TIME_LIMIT_MS } = {}): void {
  app.get(
    '/v1/models',
    {
      schema: {
        tags: ['score'],
        summary: 'Model pairs that score texts',
        response: { 200: modelsResponse, ...failures() },
      },
    },
    async () => ({ models: [...scoring.models()] }),
  );

  app.post(
    '/v1/score',
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        tags: ['score'],
        summary: 'Losses of every token of some texts under both models, and weights',
        description:
          'Each text is one document, scored as `tokensieve score` with `packing: document` scores it. Requests share batches; one that finds the queue full is refused with 429 and Retry-After.',
        body: scoreRequest,
        response: {
          200: scoreResponse,
          ...failures(404, 413, 415),
          422: errorSchema.describe('Every score is equal: there is nothing to select by'),
          500: errorSchema.describe('The models failed on this request'),
        },
      },
      // The answer is long and made here: checking every number of it again would cost more than making it.
      serializerCompiler: () => (answer) => JSON.stringify(answer),
    },
    async (request, reply) => {
      // Not the framework's `request.signal`: that one is raised as soon as the body has been read.
      const ended = new AbortController();
      const leave = (): void => ended.abort(new Error('the client went away'));
      const timer = setTimeout(() => ended.abort(tooSlow(timeLimitMs)), timeLimitMs);
      reply.raw.once('close', leave);
      try {
        const answer = await scoring.score(request.body, ended.signal);
        if (tokensOf(answer) <= WHOLE_ANSWER_TOKENS) return answer;
        reply.type('application/json; charset=utf-8');
        // A stream is sent as it is; the route's type speaks of the answer that it holds.
        return Readable.from(answerPieces(answer)) as unknown as ScoreResponse;
      } catch (error) {
        if (reply.raw.destroyed) return reply.hijack();
        throw error;
      } finally {
        clearTimeout(timer);
        reply.raw.off('close', leave);
      }
    },
  );
}

const tooSlow = (ms: number): Refusal =>
  new Refusal(
    503,
    'too-slow',
    `no answer within ${ms / 1000} s: send fewer or shorter texts, or try again later`,
    5,
  );

const tokensOf = ({ results }: ScoreResponse): number =>
  results.reduce((sum, { tokens }) => sum + tokens.id.length, 0);
