/**
 * Standard output and error. What a command is called for (a verdict, a report, a plan) is its work: it is printed whole
 * or the command fails. What a command says beside its work is talk: a run goes on without a listener.
 */
import { fstatSync, fsyncSync, writeSync } from 'node:fs';
import { fatalError, firstLine } from '../errors.js';
import { withoutSecrets } from '../redacted.js';

const STDOUT = 1;

let lost: NodeJS.ErrnoException | null = null;

/** Hears the errors of both streams, which would end the process. A reader that goes away is none: it has what it wanted. */
export function hearStreams(): void {
  lost = null;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') lost ??= error;
  });
  process.stderr.on('error', () => undefined);
}

/** A line beside the work, such as where its files are. Whether anybody reads it makes no difference. */
export function say(text: string): void {
  process.stdout.write(`${withoutSecrets(text)}\n`);
}

/** A line of the log, or of what a person is told beside the results. */
export function tell(text: string): void {
  process.stderr.write(`${withoutSecrets(text)}\n`);
}

/**
 * Prints what the command is called for.
 * @throws TokensieveError (fatal) `output-lost` when it cannot be written, but for a reader that has gone
 */
export async function print(text: string): Promise<void> {
  const line = `${withoutSecrets(text)}\n`;
  try {
    if (isFile()) writeWhole(Buffer.from(line));
    else await written(line);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw outputLost(error);
  }
}

/** @throws TokensieveError (fatal) `output-lost` when something of what others printed could not be written */
export async function checkPrinted(): Promise<void> {
  await written('').catch(() => undefined);
  if (lost !== null) throw outputLost(lost);
}

const written = (text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });

function isFile(): boolean {
  try {
    return fstatSync(STDOUT).isFile();
  } catch {
    return false;
  }
}

/** Node's own stream of a file writes once and takes no notice of what did not fit: half a report, and no error. */
function writeWhole(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at);
  // Remote disks tell that they are full when they are asked.
  try {
    fsyncSync(STDOUT);
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

const outputLost = (error: unknown): Error =>
  fatalError(
    'output-lost',
    `standard output: what this command prints could not be written (${firstLine(error)}); make room, or send it elsewhere`,
    { cause: error },
  );
