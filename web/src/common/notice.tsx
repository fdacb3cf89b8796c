import type { ComponentChildren, JSX } from 'preact';
import { ApiError } from '../api/request.js';
import { duration } from './format.js';
import { Icon } from './icon.js';

/** Something went wrong: read out at once. */
export const Problem = ({
  id,
  children,
}: {
  readonly id?: string;
  readonly children: ComponentChildren;
}): JSX.Element => (
  <p class="problem" role="alert" {...(id === undefined ? {} : { id })}>
    <Icon name="warning" /> <span>{children}</span>
  </p>
);

/** One sentence about what failed and what to do. */
export function explain(error: Error): string {
  if (!(error instanceof ApiError)) return error.message;
  if (error.status === 401) return 'The service wants a token. Reload the page to enter one.';
  if (error.status === 429) {
    return error.retryAfter === null
      ? 'The service is busy. Try again in a moment.'
      : `The service is busy. Try again in ${duration(Math.max(1, error.retryAfter))}.`;
  }
  return error.message;
}
