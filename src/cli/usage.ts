import { closest } from '../config/closest.js';
import { redacted } from '../redacted.js';
import { EXIT } from './exit.js';
import { printable } from './format.js';
import { tell } from './output.js';

/** What yargs refused, with what is known of the command that it was asked of. */
export interface Misuse {
  readonly message: string;
  /** The command's own flags, without dashes. */
  readonly flags: readonly string[];
  /** As its help spells it: `select <run>`; empty without one. */
  readonly usage: string;
}

/** Prints what is wrong with a command line, in one line and a hint, and gives the exit code. */
export function reportUsage({ message, flags, usage }: Misuse): number {
  const line = printable(inWords(message.trim().replace(/\s*\n\s*/g, ' '), usage));
  const meant = /^Unknown arguments?: (\S+?),?(?: |$)/.exec(line)?.[1];
  const close = meant === undefined ? null : closest(meant, flags);
  tell(`tokensieve: ${redacted(line)}${close === null ? '' : `. Did you mean --${close}?`}`);
  const command = /^[a-z]+/.exec(usage)?.[0] ?? '<command>';
  tell(`  (tokensieve ${command} --help shows the options and an example)`);
  return EXIT.usage;
}

/** The library counts what is not a flag; people look for what it is called. */
const inWords = (message: string, usage: string): string =>
  usage !== '' && message.startsWith('Not enough non-option arguments')
    ? `a value is missing: tokensieve ${usage}`
    : message;
