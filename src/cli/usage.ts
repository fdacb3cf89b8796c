import { flagsOf } from '../config/flags.js';
import { evaluateSettings } from '../evaluate/settings.js';
import { pipelineSchema } from '../pipeline/settings.js';
import { redacted } from '../redacted.js';
import { EXIT } from './exit.js';
import { printable } from './format.js';
import { tell } from './output.js';

/** Flags of the commands that stand for no setting. */
const OTHER_FLAGS = [
  'set',
  'from',
  'to',
  'only',
  'executor',
  'array-index',
  'array-count',
  'redis',
  'queue',
  'follow',
  'attempts',
  'backoff',
  'priority',
  'parts',
  'lease',
  'takeovers',
  'grace',
  'until-empty',
  'allow-methods',
  'replace',
  'log',
  'log-every',
  'json',
  'tflops',
  'help',
  'version',
];

/** Prints what is wrong with a command line, in one line and a hint, and gives the exit code. */
export function reportUsage(message: string): number {
  const line = printable(message.trim().replace(/\s*\n\s*/g, ' '));
  const meant = /^Unknown arguments?: (\S+?),?(?: |$)/.exec(line)?.[1];
  const close =
    meant === undefined
      ? null
      : closest(meant, [
          ...[pipelineSchema, evaluateSettings].flatMap((schema) => flagsOf(schema).map(({ name }) => name)),
          ...OTHER_FLAGS,
        ]);
  tell(`tokensieve: ${redacted(line)}${close === null ? '' : `. Did you mean --${close}?`}`);
  tell('  (tokensieve <command> --help shows the options and an example)');
  return EXIT.usage;
}

/**
 * The name at most two edits away from `word`, or a third of its length if that is more. Null when there is none,
 * or when `word` is a name itself: it then belongs to another command.
 */
export function closest(word: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  // A command line can be megabytes long; a flag is not.
  if (word.length > 64 || names.includes(word)) return null;
  for (const name of names) {
    const edits = distance(word, name);
    if (edits < least) {
      least = edits;
      best = name;
    }
  }
  return best;
}

/** Levenshtein distance: insertions, deletions and replacements of characters. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
