import { createStore } from '../common/store.js';

/** What the API or the network refused. `status` 0: nothing answered. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Seconds that the service asks to wait (Retry-After), where it does. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

const TOKEN_KEY = 'tokensieve-token';

/** Whether the service answered the last time it was asked. */
export const reachable = createStore(true);
/** Set while the service wants a token that the page does not have. */
export const tokenWanted = createStore(false);
export const hasToken = createStore(sessionStorage.getItem(TOKEN_KEY) !== null);

let waiting: { readonly given: Promise<boolean>; readonly settle: (given: boolean) => void } | null = null;

/** Resolves when the person has entered a token that works (true) or given up (false). */
function askForToken(): Promise<boolean> {
  if (waiting === null) {
    let settle: (given: boolean) => void = () => undefined;
    const given = new Promise<boolean>((resolve) => {
      settle = resolve;
    });
    waiting = { given, settle };
    tokenWanted.set(true);
  }
  return waiting.given;
}

function endAsking(given: boolean): void {
  waiting?.settle(given);
  waiting = null;
  tokenWanted.set(false);
}

/**
 * Tries a token, and keeps it for this tab's session when the service takes it.
 * @throws ApiError when the service does not.
 */
export async function giveToken(token: string): Promise<void> {
  await answerOf(await call('/v1/jobs?limit=1', {}, token));
  sessionStorage.setItem(TOKEN_KEY, token);
  hasToken.set(true);
  endAsking(true);
}

export const refuseToken = (): void => endAsking(false);

export function forgetToken(): void {
  sessionStorage.removeItem(TOKEN_KEY);
  hasToken.set(false);
  location.reload();
}

/** The API stands beside the page, whatever prefix a proxy put before both. */
export const addressOf = (path: string): string =>
  new URL(path.slice(1), document.baseURI.split('#')[0]).href;

async function call(path: string, init: RequestInit, token: string | null): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set('authorization', `Bearer ${token}`);
  try {
    const response = await fetch(addressOf(path), { ...init, headers, cache: 'no-store' });
    reachable.set(true);
    return response;
  } catch (error) {
    if (init.signal?.aborted) throw error;
    reachable.set(false);
    throw new ApiError(0, 'unreachable', 'The service does not answer. Is it running, and are you online?');
  }
}

/** The response when it is a success. @throws ApiError otherwise */
async function answerOf(response: Response): Promise<Response> {
  if (response.ok) return response;
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  const body: unknown = await response.json().catch(() => null);
  const error = (body as { readonly error?: { readonly code?: string; readonly message?: string } } | null)
    ?.error;
  throw new ApiError(
    response.status,
    error?.code ?? `http-${response.status}`,
    error?.message ?? `The service answered ${response.status} ${response.statusText}`.trim(),
    Number.isFinite(retryAfter) ? retryAfter : null,
  );
}

/**
 * A request with the token, asked for again once the person has given one where the service wants it.
 * @throws ApiError, or the AbortError of `init.signal`.
 */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const response = await call(path, init, sessionStorage.getItem(TOKEN_KEY));
    if (response.status !== 401) return answerOf(response);
    hasToken.set(false);
    sessionStorage.removeItem(TOKEN_KEY);
    if (!(await askForToken())) return answerOf(response);
  }
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, signal === undefined ? {} : { signal });
  return (await response.json()) as T;
}

export async function postJson<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await request(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
  return (await response.json()) as T;
}

export async function remove(path: string): Promise<void> {
  await request(path, { method: 'DELETE' });
}

export const jobPath = (id: string): string => `/v1/jobs/${encodeURIComponent(id)}`;
