import { ServiceError } from '../service-error.js';

/** A request for scores that is not served; the cause, where there is one, is for the log. */
export class Refusal extends ServiceError {
  constructor(
    status: number,
    code: string,
    message: string,
    /** Whole seconds after which the request may fare better; with 429 and 503. */
    retryAfter?: number,
    { cause }: ErrorOptions = {},
  ) {
    super(status, code, message.replace(/\s*\n\s*/g, ' '), retryAfter);
    if (cause !== undefined) this.cause = cause;
  }
}
