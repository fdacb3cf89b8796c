import { usageError } from '../errors.js';
import { isJsonObject } from '../json/canonical-json.js';
import { ExactNumber, exactText } from '../json/exact-number.js';
import { parseExactJson } from '../json/python-json.js';
import type { DocumentRecord } from './documents.js';

/** What documents are grouped by: a kept column, a key within one (`metadata.source`), or the host of a url. */
export interface DomainAxis {
  /** `host`, or the column as it was named. */
  readonly by: string;
  readonly label: string;
  /** The group of a document; documents without one are in `(none)`. */
  nameOf(columns: DocumentRecord['columns']): string;
}

export const NO_DOMAIN = '(none)';

/** Longest name of a group, in UTF-16 units: a column may hold whole pages. */
const MAX_NAME = 200;
/** Axes that are found without being asked for. */
const MAX_FOUND = 3;
/** Names of columns that say where a document comes from, or of what kind it is. */
const DOMAIN_NAMES =
  /^(?:.*[._])?(?:domain|source|host|site|subset|dataset|collection|category|topic|kind|type|lang|language|split|license)$/i;

/**
 * The axes that documents are grouped by. `url` always goes by host.
 * @param kept columns of the documents files · @param wanted of `--by`; null: those whose names look like domains
 * @throws TokensieveError (usage) `no-such-column`
 */
export function domainAxes(kept: readonly string[], wanted: readonly string[] | null): DomainAxis[] {
  const hosts = kept.filter((name) => isUrl(name)).slice(0, 1);
  const named = wanted ?? kept.filter((name) => DOMAIN_NAMES.test(name)).slice(0, MAX_FOUND);
  return [...new Set([...hosts, ...named])].map((name) => axisOf(kept, name));
}

const isUrl = (name: string): boolean => /^(?:.*[._])?(?:url|uri)$/i.test(name);

function axisOf(kept: readonly string[], name: string): DomainAxis {
  const column = columnOf(kept, name);
  const keys = name.slice(column.length + 1).split('.');
  const value = (columns: DocumentRecord['columns']): string | null =>
    name === column ? textOf(columns[column]) : keyOf(textOf(columns[column]), keys);
  if (isUrl(name)) {
    return {
      by: 'host',
      label: `host of the column ${name}`,
      nameOf: (columns) => hostOf(value(columns) ?? '') ?? NO_DOMAIN,
    };
  }
  return {
    by: name,
    label: name === column ? `column ${name}` : `key ${keys.join('.')} of the column ${column}`,
    nameOf: (columns) => value(columns)?.slice(0, MAX_NAME) || NO_DOMAIN,
  };
}

/** The column that a name means: itself, or the longest one that it begins with, before a dot. */
function columnOf(kept: readonly string[], name: string): string {
  const found = kept
    .filter((column) => name === column || name.startsWith(`${column}.`))
    .sort((a, b) => b.length - a.length)[0];
  if (found !== undefined) return found;
  throw usageError(
    'no-such-column',
    `--by ${name}: the documents files keep ${kept.length === 0 ? 'no columns' : kept.join(', ')}; score with --keep-columns ${name}, or name another`,
  );
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/** A value within a column of JSON text. */
function keyOf(text: string | null, keys: readonly string[]): string | null {
  if (text === null) return null;
  let value: unknown;
  try {
    value = parseExactJson(text);
  } catch {
    return null;
  }
  for (const key of keys) {
    if (!isJsonObject(value) || value instanceof ExactNumber || !Object.hasOwn(value, key)) return null;
    value = value[key];
  }
  if (value === null || value === undefined) return null;
  return exactText(value);
}

/** The host of a URL in lower case, without `www.`; null where there is none. */
export function hostOf(url: string): string | null {
  const start = url.trim().slice(0, 4096);
  const whole = /^[a-z][a-z\d+.-]*:\/\//i.test(start) ? start : `http://${start}`;
  if (!/^[^/]*\/\/[^/?#]*\./.test(whole)) return null;
  try {
    const host = new URL(whole).hostname.toLowerCase().replace(/^www\./, '');
    return host === '' ? null : host.slice(0, MAX_NAME);
  } catch {
    return null;
  }
}
