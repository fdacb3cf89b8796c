import { createReadStream } from 'node:fs';
import { type Document, isAlias, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import { firstLine, TokensieveError, usageError } from '../errors.js';
import { utf8Text } from '../utf8.js';
import { at, inheritText, placeAt, rememberText } from './origin.js';

/** Longest pipeline file that is read, in bytes. */
const MAX_FILE_BYTES = 1 << 20;

/** Keys that the merges of one file may copy. Merges within merges count as aliases do and are limited with them. */
const MAX_MERGED_KEYS = 10_000;

/** Settings as they come from a file or a command line: nested plain objects. */
export type Settings = { readonly [key: string]: unknown };

/**
 * Reads a pipeline file (YAML or JSON) without judging its fields.
 * @throws TokensieveError `pipeline-unreadable` (usage)
 */
export async function readPipelineFile(path: string): Promise<Settings> {
  let text: string;
  try {
    text = await readStart(path);
  } catch (error) {
    throw usageError('pipeline-unreadable', `${path}: cannot read the pipeline file: ${firstLine(error)}`, {
      cause: error,
    });
  }
  return parsePipelineText(text, path);
}

/**
 * The settings in a pipeline file's text (YAML or JSON), fields not judged.
 * @param source where the text comes from, for messages
 * @throws TokensieveError `pipeline-unreadable` (usage)
 */
export function parsePipelineText(text: string, source: string): Settings {
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    throw usageError('pipeline-unreadable', `${source}: longer than 1 MiB, expected a pipeline file`);
  }
  let value: unknown;
  try {
    refuseDeep(text);
    const lines = new LineCounter();
    const document = parseDocument(text, {
      merge: true,
      logLevel: 'error',
      // Its own look for repeated keys compares each with all before it: 90,000 of them took 85 s.
      uniqueKeys: false,
      prettyErrors: false,
      lineCounter: lines,
    });
    const [problem] = document.errors;
    if (problem !== undefined) {
      const place = placeAt(text, lines, problem.pos);
      throw usageError('pipeline-unreadable', `${source}${at(place)}: not YAML: ${firstLine(problem)}`, {
        cause: problem,
        frame: place.frame,
      });
    }
    const tag = refusedTag(document);
    if (tag !== null) {
      const place = placeAt(text, lines, tag.range);
      throw usageError('pipeline-unreadable', `${source}${at(place)}: ${tag.said}`, { frame: place.frame });
    }
    refuseRepeated(document);
    if (mergedKeys(document) > MAX_MERGED_KEYS) throw new Error('merge keys (<<) copy too many settings');
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    if (error instanceof TokensieveError) throw error;
    throw usageError('pipeline-unreadable', `${source}: not YAML: ${firstLine(error)}`, { cause: error });
  }
  if (!isSettings(value)) {
    throw usageError(
      'pipeline-unreadable',
      `${source}: holds ${describe(value)}, expected a mapping of settings`,
    );
  }
  rememberText(value, text);
  return value;
}

/** Limits that no pipeline comes near: open brackets, columns of indentation, indicators (`- `, ` &x`) in one line. */
const MAX_BRACKETS = 256;
const MAX_COLUMNS = 1024;
const MAX_INDICATORS = 1024;
/** Names of settings, in all of the file. */
const MAX_NAMES = 10_000;

/**
 * The parser recurses with every level, and keeps an error for everything that is out of place: a megabyte of brackets
 * is more than the stack and the heap can hold, and ends the process. Counted whether quoted or not.
 */
function refuseDeep(text: string): void {
  let open = 0;
  let indented = 0;
  let indicators = 0;
  let names = 0;
  let before = '\n';
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    const isSpace = char === ' ' || char === '\t';
    if (char === '\n') indented = indicators = 0;
    else if (isSpace && indented >= 0) indented++;
    else indented = -1;
    if (char === '[' || char === '{') open++;
    else if (char === ']' || char === '}') open--;
    else if (isSpace && '-?:'.includes(before)) indicators++;
    else if (' \t\n'.includes(before) && '&*!|>@`%#"\''.includes(char)) indicators++;
    // As in `a: 1`, `"a":1` and `{a:}`; not as in a URL.
    if (char === ':' && (' \t\n,]}'.includes(text.charAt(at + 1)) || '"\''.includes(before))) names++;
    if (names > MAX_NAMES) throw new Error(`more than ${MAX_NAMES} names of settings`);
    if (Math.abs(open) > MAX_BRACKETS || indented > MAX_COLUMNS || indicators > MAX_INDICATORS)
      throw new Error('nested deeper, or with more indicators in a line, than any pipeline is');
    before = char;
  }
}

/** Tags of what settings are made of. `!!set` and the like become objects without keys of their own, and would be read as nothing. */
const TAGS = /^(!|tag:yaml\.org,2002:(str|int|float|bool|null|map|seq))$/;

/** The first tag that says of a value that it is something else; null where there is none. */
function refusedTag(
  document: Document,
): { readonly said: string; readonly range: readonly [number, number] } | null {
  let found: ReturnType<typeof refusedTag> = null;
  visit(document, {
    Node: (_, node) => {
      if (isAlias(node) || node.tag === undefined || TAGS.test(node.tag)) return undefined;
      const [from = 0, to = from] = node.range ?? [];
      const tag = node.tag.replace('tag:yaml.org,2002:', '!!');
      found = {
        said: `${tag} is no kind of setting; expected a mapping, a list, a text, a number, true or false, and no tag`,
        range: [from, to],
      };
      return visit.BREAK;
    },
  });
  const [warning] = document.warnings;
  return found ?? (warning === undefined ? null : { said: firstLine(warning), range: warning.pos });
}

function refuseRepeated(document: Document): void {
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key) || key.value === '<<') continue;
        // As a setting is named: `1` and `"1"` are one.
        const name = String(key.value);
        if (seen.has(name)) throw new Error(`Map keys must be unique: ${name} is there twice`);
        seen.add(name);
      }
    },
  });
}

/** How many keys the `<<` of a document copy: an alias is a few bytes, what it stands for may be all of the file. */
function mergedKeys(document: Document): number {
  const sizes = new Map<string, number>();
  let keys = 0;
  visit(document, {
    Map: (_, { anchor, items }) => {
      if (anchor !== undefined) sizes.set(anchor, items.length);
    },
    Pair: (_, { key, value }) => {
      if (!isScalar(key) || key.source !== '<<') return;
      for (const source of isSeq(value) ? value.items : [value]) {
        if (isAlias(source)) keys += sizes.get(source.source) ?? 0;
      }
    },
  });
  return keys;
}

/** The file, or its first bytes if it is longer than any pipeline; a pipe or a device may have no end. */
async function readStart(path: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of createReadStream(path, { end: MAX_FILE_BYTES })) chunks.push(chunk as Buffer);
  return utf8Text(Buffer.concat(chunks));
}

/** `patch` laid over `base`; objects merge, everything else replaces. */
export function mergeSettings(base: Settings, patch: Settings): Settings {
  // A Map, and fromEntries, which defines: __proto__ stays a key, which schemas refuse like any other that is unknown.
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    const below = merged.get(key);
    merged.set(key, isSettings(value) && isSettings(below) ? mergeSettings(below, value) : value);
  }
  const settings = Object.fromEntries(merged);
  inheritText(settings, base, patch);
  return settings;
}

/**
 * One `a.b=value` of `--set` as nested settings. The value is read as YAML, so numbers, lists and true/false work.
 * @throws TokensieveError `bad-set` (usage)
 */
export function parseAssignment(assignment: string): Settings {
  const equals = assignment.indexOf('=');
  const path = assignment.slice(0, equals).split('.');
  if (equals < 1 || path.some((key) => !/^[a-z][a-z0-9_-]*$/i.test(key) || key === 'constructor')) {
    throw usageError(
      'bad-set',
      `--set ${assignment}: expected name.of.setting=value, such as --set sequence.length=1024`,
    );
  }
  let value: unknown;
  try {
    const document = parseDocument(assignment.slice(equals + 1), { logLevel: 'error' });
    const problem = document.errors[0]?.message ?? refusedTag(document)?.said;
    if (problem !== undefined) throw new Error(problem);
    value = document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    throw usageError('bad-set', `--set ${assignment}: the value is not YAML: ${firstLine(error)}`, {
      cause: error,
    });
  }
  return path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Settings;
}

function isSettings(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
