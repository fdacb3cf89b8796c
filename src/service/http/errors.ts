import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { firstLine, TokensieveError } from '../../errors.js';
import { ServiceError } from '../service-error.js';

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string };
}

export const errorBody = (code: string, message: string): ErrorBody => ({ error: { code, message } });

interface Answer extends ErrorBody {
  readonly status: number;
  readonly retryAfter?: number | undefined;
}

const answer = (status: number, code: string, message: string, retryAfter?: number): Answer => ({
  status,
  ...errorBody(code, message.replace(/\s*\n\s*/g, ' ')),
  retryAfter,
});

/** Codes of the framework's own errors, by their status. */
const CODES: Readonly<Record<number, string>> = {
  400: 'bad-request',
  403: 'forbidden',
  404: 'not-found',
  405: 'method-not-allowed',
  406: 'not-acceptable',
  408: 'too-slow',
  412: 'precondition-failed',
  413: 'too-large',
  414: 'url-too-long',
  415: 'not-json',
  416: 'range-beyond-file',
  429: 'too-many-requests',
  431: 'headers-too-long',
  503: 'unavailable',
};

/** What a client is told of an error. What it is not to know is in the log alone. */
export function answerTo(error: unknown): Answer {
  if (error instanceof ServiceError) return answer(error.status, error.code, error.message, error.retryAfter);
  if (error instanceof TokensieveError) {
    const status = error.reach === 'usage' || error.reach === 'input' ? 400 : 503;
    return answer(status, error.code, error.message);
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const problems = error.validation.map(({ instancePath, message }) => {
      const field = instancePath.replace(/^\//, '').replaceAll('/', '.');
      return field === '' ? String(message) : `${field}: ${message}`;
    });
    return answer(400, 'bad-request', `${error.validationContext ?? 'request'}: ${problems.join('; ')}`);
  }
  const { statusCode, code, message } = error as Partial<FastifyError>;
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return answer(statusCode, CODES[statusCode] ?? 'bad-request', message ?? 'the request is wrong');
  }
  if (statusCode === 503 || code === 'FST_ERR_HANDLER_TIMEOUT') {
    return answer(503, 'unavailable', 'the answer took too long; try again later', 5);
  }
  return answer(500, 'unexpected', 'something is wrong in the service; its log has more');
}

/** Answers a request with what an error means for its client. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { status, retryAfter, error: told } = answerTo(error);
  if (status >= 500) request.log.error({ err: error }, firstLine(error));
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  if (status === 401) reply.header('www-authenticate', 'Bearer realm="tokensieve"');
  reply.code(status).type('application/json; charset=utf-8').serializer(JSON.stringify).send({ error: told });
}
