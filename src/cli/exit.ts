import { endAtOnce } from '../end-at-once.js';
import { firstLine, TokensieveError } from '../errors.js';
import { redacted } from '../redacted.js';
import { printable } from './format.js';
import { limitError } from './limits.js';

/** Exit codes, the same for every command. */
export const EXIT = { done: 0, failed: 1, usage: 2, quarantined: 3, interrupted: 130 } as const;

/** Time for what a command has left open to close by itself once it is over, in milliseconds. */
const AFTERWARDS = 2000;

/** Prints one line for an error and tells the exit code. The stack follows with TOKENSIEVE_DEBUG=1. */
export function reportError(thrown: unknown): number {
  const error = limitError(thrown);
  const known = error instanceof TokensieveError;
  process.stderr.write(
    `tokensieve: ${printable(known ? error.message : `unexpected: ${redacted(firstLine(error))}`)}\n`,
  );
  if (known) for (const line of error.frame) process.stderr.write(`  ${redacted(printable(line))}\n`);
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

/** What the first Ctrl-C says is kept and lost, and what a second one would lose more, if anything. */
export interface Stopping {
  readonly first: string;
  readonly again?: string;
}

const OF_PARTS: Stopping = {
  first: 'finished parts are kept, what is in work is made again; the same command goes on from here',
};

/**
 * Runs a command's body with a signal that Ctrl-C raises; a second Ctrl-C ends the process at once.
 * @param stopping what the first one says
 */
export async function withInterrupt(
  body: (signal: AbortSignal) => Promise<number>,
  { first, again = '' }: Stopping = OF_PARTS,
): Promise<void> {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) {
      showCursor();
      endAtOnce();
    }
    process.stderr.write(`\ntokensieve: stopping; ${first} (again to stop at once${again})\n`);
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

/** A bar hides the cursor and cuts long lines; a terminal keeps both after its program. */
function showCursor(): void {
  if (process.stderr.isTTY) process.stderr.write('\x1b[?25h\x1b[?7h\n');
}

/** Called when a command is over: whatever is still open, the process ends in seconds. */
export function endSoon(): void {
  setTimeout(() => process.exit(), AFTERWARDS).unref();
}
