import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as library from '#tokensieve/index.js';

const read = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');
const [described = '', listed = ''] = read('docs/library.md').split('\n## Types\n');

/** Names in the first cell of each row: `scoreCorpus(pipeline, options)`, `METHODS`. */
const documentedValues = described.split('\n').flatMap((line) => {
  const cell = /^\| (`.*?) \|/.exec(line)?.[1] ?? '';
  return [...cell.matchAll(/`(\w+)(?:\(.*?\))?`/g)].map(([, name]) => name);
});
const documentedTypes = [...listed.matchAll(/`(\w+)`/g)].map(([, name]) => name);
const exportedTypes = [...read('src/index.ts').matchAll(/export type \{([^}]*)\}/g)].flatMap(
  ([, names = '']) => names.split(',').flatMap((name) => name.trim() || []),
);

describe('the library', () => {
  it('exports what docs/library.md describes, and nothing else', () => {
    expect(Object.keys(library).sort()).toEqual(documentedValues.toSorted());
    expect(exportedTypes.toSorted()).toEqual(documentedTypes.toSorted());
  });

  it('names each once', () => {
    const names = [...documentedValues, ...documentedTypes];
    expect(names).toHaveLength(new Set(names).size);
    // So that it stays what a user calls: a name more is to be taken for good.
    expect(names.length).toBeLessThanOrEqual(125);
  });
});
