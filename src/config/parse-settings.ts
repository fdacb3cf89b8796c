import type { z } from 'zod';
import { usageError } from '../errors.js';
import { closest } from './closest.js';
import { keysAt } from './keys-at.js';
import { at, placesOf } from './origin.js';

/**
 * Checks settings against a schema and fills in the defaults.
 * @param source where the settings come from, for messages; a file's line and column follow it
 * @throws TokensieveError `bad-settings` (usage): every wrong field with its stage, what was found and expected, and the key
 *   that was meant where one is near; `frame` shows the first of them in its file
 */
export function parseSettings<T extends z.ZodType>(
  schema: T,
  settings: unknown,
  source: string,
): z.output<T> {
  const result = schema.safeParse(settings);
  if (result.success) return result.data;
  const places = placesOf(settings);
  const problems = tightest(result.error.issues).flatMap((issue) => problemsOf(issue, schema, settings));
  const placed = problems.map(({ path, text }) => ({ text, place: places?.(path) ?? null }));
  const [first] = placed;
  const lines = placed.map(({ text, place }, i) =>
    i === 0 || place === null ? text : `line ${place.line}: ${text}`,
  );
  throw usageError('bad-settings', `${source}${at(first?.place ?? null)}: ${lines.join('; ')}`, {
    cause: result.error,
    ...(first?.place && { frame: first.place.frame }),
  });
}

/** Of a number beyond several bounds the last is told: a safe integer is looked for first, and any own bound is nearer. */
const tightest = (issues: readonly z.core.$ZodIssue[]): readonly z.core.$ZodIssue[] =>
  issues.filter(
    ({ code, path }, i) =>
      (code !== 'too_big' && code !== 'too_small') ||
      !issues.slice(i + 1).some((later) => later.code === code && later.path.join('\n') === path.join('\n')),
  );

interface Problem {
  readonly path: readonly PropertyKey[];
  readonly text: string;
}

function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodType, settings: unknown): Problem[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, path, settings);
    return issue.keys.map((key) => {
      const meant = closest(key, known);
      const text = `Unrecognized key: ${JSON.stringify(key)}${meant === null ? '' : `, did you mean ${meant}?`}`;
      return { path: [...path, key], text: named(path, text, settings) };
    });
  }
  return [{ path, text: named(path, inWords(issue), settings) }];
}

/** What zod says of a value that is not there, as one would say it. */
function inWords(issue: z.core.$ZodIssue): string {
  const [, expected] = /^Invalid input: expected (.+), received undefined$/.exec(issue.message) ?? [];
  return expected === undefined ? issue.message : `is missing, expected ${ARTICLES[expected] ?? expected}`;
}

const ARTICLES: Readonly<Record<string, string>> = {
  array: 'a list',
  string: 'a text',
  number: 'a number',
  object: 'a mapping of settings',
  boolean: 'true or false',
  record: 'a mapping',
};

/** The path before what is said of it, with the name of the stage that it leads into, where it was given one. */
function named(path: readonly PropertyKey[], text: string, settings: unknown): string {
  if (path.length === 0) return text;
  const name = stageName(path, settings);
  return `${path.join('.')}${name === null ? '' : ` (${name})`}: ${text}`;
}

function stageName([list, index]: readonly PropertyKey[], settings: unknown): string | null {
  if (list !== 'stages' || typeof index !== 'number') return null;
  const stages = (settings as { readonly stages?: unknown }).stages;
  const stage: unknown = Array.isArray(stages) ? stages[index] : null;
  if (typeof stage !== 'object' || stage === null) return null;
  const { name } = stage as { readonly name?: unknown };
  return typeof name === 'string' ? name : null;
}
