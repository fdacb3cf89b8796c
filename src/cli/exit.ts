import { firstLine, TokensieveError } from '../errors.js';
import { redacted } from '../redacted.js';
import { printable } from './format.js';

/** Exit codes, the same for every command. */
export const EXIT = { done: 0, failed: 1, usage: 2, quarantined: 3, interrupted: 130 } as const;

/** Prints one line for an error and tells the exit code. The stack follows with TOKENSIEVE_DEBUG=1. */
export function reportError(error: unknown): number {
  const known = error instanceof TokensieveError;
  process.stderr.write(
    `tokensieve: ${printable(known ? error.message : `unexpected: ${redacted(firstLine(error))}`)}\n`,
  );
  if (process.env['TOKENSIEVE_DEBUG'] === '1' && error instanceof Error)
    process.stderr.write(`${redacted(error.stack ?? '')}\n`);
  else if (!known) process.stderr.write('  (set TOKENSIEVE_DEBUG=1 for the stack)\n');
  return known && error.reach === 'usage' ? EXIT.usage : EXIT.failed;
}

/** Runs the body of a command that leaves nothing half done: Ctrl-C ends it at once, as it does any program. */
export async function untilInterrupted(body: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await body();
  } catch (error) {
    process.exitCode = reportError(error);
  }
}

/**
 * Runs a command's body with a signal that Ctrl-C raises; a second Ctrl-C ends the process at once.
 * @param stopping what the first one says
 */
export async function withInterrupt(
  body: (signal: AbortSignal) => Promise<number>,
  stopping = 'stopping; the same command goes on from here',
): Promise<void> {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    process.stderr.write(`\ntokensieve: ${stopping} (again to stop at once)\n`);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    process.exitCode = await body(controller.signal);
  } catch (error) {
    // What goes wrong while stopping (a full disk) is told all the same.
    const { signal } = controller;
    process.exitCode = signal.aborted && error === signal.reason ? EXIT.interrupted : reportError(error);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}
