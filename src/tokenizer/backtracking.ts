/**
 * Patterns of a tokenizer.json come from whoever made it, and the engines that run them backtrack: `(a+)+b` on a few
 * thousand letters ends the process (the native library panics at its limit of retries) or never ends (the portable one).
 * What is let through here is at worst quadratic in the length of a run of like characters, which patterns of
 * real tokenizers are too (`\s*[\r\n]+`).
 */

import { afterClass, afterEscape, afterGroupHead, quantifierPattern } from './pattern-syntax.js';

/** Repetitions without a small bound that one alternative may hold: patterns in use have at most two. */
const MAX_REPEATS = 2;
/** Optional items of one alternative. */
const MAX_OPTIONAL = 8;
/** A repetition of at most this many is counted as an optional item. */
const FEW = 16;
const MAX_DEPTH = 32;

/** What an alternative holds; of a group, the most that any of its alternatives holds. */
interface Held {
  repeats: number;
  optional: number;
}

interface Group {
  readonly most: Held;
  branch: Held;
  alternatives: boolean;
}

const opened = (): Group => ({
  most: { repeats: 0, optional: 0 },
  branch: { repeats: 0, optional: 0 },
  alternatives: false,
});

/**
 * Why a regular expression may take time that grows faster than the square of a text, or null where it may not. Reads
 * the syntax that Oniguruma and JavaScript share; a pattern that neither takes may get either answer.
 */
export function whyItBacktracks(source: string): string | null {
  const stack: Group[] = [opened()];
  const quantifier = quantifierPattern();
  let at = 0;
  while (at < source.length) {
    const group = stack.at(-1);
    if (group === undefined) return null;
    const char = source.charAt(at);
    let held: Held = { repeats: 0, optional: 0 };
    let branches = false;
    if (char === '(') {
      if (stack.length > MAX_DEPTH) return `has groups more than ${MAX_DEPTH} deep`;
      stack.push(opened());
      at = afterGroupHead(source, at);
      continue;
    }
    if (char === '|') {
      endBranch(group);
      group.alternatives = true;
      at++;
      continue;
    }
    if (char === ')') {
      endBranch(group);
      held = group.most;
      branches = group.alternatives;
      if (stack.length > 1) stack.pop();
      at++;
    } else if (char === '[') at = afterClass(source, at);
    else if (char === '\\') {
      if (/[gk]/.test(source.charAt(at + 1)) || /[1-9]/.test(source.charAt(at + 1))) {
        return 'refers back to a group';
      }
      at = afterEscape(source, at);
    } else at++;

    const outer = stack.at(-1);
    if (outer === undefined) return null;
    for (let times = 0; ; times++) {
      quantifier.lastIndex = at;
      const found = quantifier.exec(source);
      if (found === null || found[0] === '{,}' || found[0] === '{}') break;
      const most = bound(found);
      at += found[0].length;
      // Lazy or possessive: as many ways to try.
      if (source.charAt(at) === '?' || source.charAt(at) === '+') at++;
      if (most > 1 && (times > 0 || branches || held.repeats + held.optional > 0)) {
        return 'repeats what itself repeats or has alternatives';
      }
      if (most > FEW) held = { ...held, repeats: held.repeats + 1 };
      else if (found[2] !== '' || most <= 1) held = { ...held, optional: held.optional + 1 };
    }
    outer.branch.repeats += held.repeats;
    outer.branch.optional += held.optional;
    if (outer.branch.repeats > MAX_REPEATS) {
      return `has more than ${MAX_REPEATS} repetitions in one alternative`;
    }
    if (outer.branch.optional > MAX_OPTIONAL)
      return `has more than ${MAX_OPTIONAL} optional items in one alternative`;
  }
  return null;
}

function endBranch(group: Group): void {
  group.most.repeats = Math.max(group.most.repeats, group.branch.repeats);
  group.most.optional = Math.max(group.most.optional, group.branch.optional);
  group.branch = { repeats: 0, optional: 0 };
}

/** The most times that a quantifier allows. */
function bound(found: RegExpExecArray): number {
  const [text, least, comma, most] = found;
  if (text === '?') return 1;
  if (text === '*' || text === '+') return Number.POSITIVE_INFINITY;
  if (comma === '') return Number(least);
  return most === '' || most === undefined ? Number.POSITIVE_INFINITY : Number(most);
}
