import { fatalError, inputError, TokensieveError, usageError } from '../errors.js';
import type { IoAct } from './io-error.js';
import { connectionFailure, PassingFailure, retryAfter, Throttled } from './patience.js';

/** What the SDK's errors hold, each part unproven. */
interface S3Failure {
  readonly name?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

const failureOf = (error: unknown): S3Failure => (typeof error === 'object' && error !== null ? error : {});

export const statusOf = (error: unknown): number | null => failureOf(error).$metadata?.httpStatusCode ?? null;

/** The store's own name for what went wrong (`NoSuchKey`). */
export const codeOf = (error: unknown): string => String(failureOf(error).name ?? 'unknown');

/** The condition of a write did not hold. */
export const isConflict = (error: unknown): boolean => statusOf(error) === 412;

/** Nothing has the name, or an upload is no more. */
export const isMissing = (error: unknown): boolean =>
  statusOf(error) === 404 && codeOf(error) !== 'NoSuchBucket';

const SIGN_IN = [
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
  'TokenRefreshRequired',
];
const THROTTLE = ['SlowDown', 'Throttling', 'ThrottlingException', 'RequestLimitExceeded', 'TooManyRequests'];
const PASSING = [
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'InternalError',
  'TimeoutError',
  'ServiceUnavailable',
];

/** An object that its class of storage keeps where it cannot be read from. */
export const archived = (path: string, told: string): TokensieveError =>
  inputError(
    'archived',
    `${path}: is archived (${told}) and cannot be read. Restore it (aws s3api restore-object), and run the same command again once that is done.`,
  );

/**
 * An error of the SDK as what it means: to be asked again, to slow down, or one plain line. The error itself, which holds
 * the request with its signature, is not passed on.
 */
export function s3Error(act: IoAct, path: string, error: unknown): Error {
  if (error instanceof TokensieveError || error instanceof PassingFailure || error instanceof Throttled)
    return error;
  const status = statusOf(error);
  const code = codeOf(error);
  if (THROTTLE.includes(code) || status === 429 || status === 503) {
    const headers = failureOf(error).$response?.headers;
    return new Throttled(`status ${status ?? '?'} ${code}`, retryAfter(headers?.['retry-after']));
  }
  if (code === 'CredentialsProviderError') {
    return fatalError(
      'no-credentials',
      `${path}: no AWS credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is given.`,
    );
  }
  if (
    status === 409 ||
    PASSING.includes(code) ||
    status === 408 ||
    (status !== null && status >= 500 && status !== 501 && status !== 507)
  )
    return new PassingFailure(`the store answered with status ${status ?? '?'} (${code})`);
  if (status === null) return connectionFailure(error);
  const told = `status ${status}, ${code}`;
  if (SIGN_IN.includes(code) || status === 401) {
    return fatalError(
      'not-signed-in',
      `${path}: the store does not take these credentials (${told}). Renew them, or choose others with AWS_PROFILE.`,
    );
  }
  if (code === 'NoSuchBucket')
    return usageError('no-bucket', `${path}: there is no such bucket (${told}). Check its name and region.`);
  if (status === 301 || code === 'PermanentRedirect' || code === 'AuthorizationHeaderMalformed') {
    return usageError(
      'wrong-region',
      `${path}: the bucket is in another region (${told}). Set AWS_REGION to its own.`,
    );
  }
  if (status === 404) return inputError('not-found', `${path}: no such object (${told}). Check the path.`);
  if (code === 'InvalidObjectState') return archived(path, told);
  if (status === 403) {
    return act === 'write' || act === 'remove'
      ? fatalError(
          'not-writable',
          `${path}: not permitted to ${act} (${told}). Give these credentials the right, or choose another output folder.`,
        )
      : inputError(
          'not-readable',
          `${path}: not permitted to ${act} (${told}). Give these credentials the right, or use others.`,
        );
  }
  if (status === 507 || code === 'QuotaExceeded') {
    return fatalError(
      'disk-full',
      `${path}: the store has no space left (${told}); nothing was left under this name. Free space or choose another output folder, then run the same command again.`,
    );
  }
  if (status === 501) {
    return fatalError(
      'not-supported',
      `${path}: the store cannot do what is needed to ${act} safely (${told}); it must support conditional writes (If-None-Match, If-Match).`,
    );
  }
  return fatalError('io', `${path}: could not ${act} (${told}).`);
}
