import { readFileSync } from 'node:fs';

/** Compiled modules of the reading view, each after those that it imports. */
const MODULES = ['tokens.js', 'reader.js'] as const;

/**
 * The page's script as one ES module: the compiled modules one after the other, without what links them. A file
 * opened from disk can import nothing, and a few functions need no bundler; their names must differ.
 */
export function readerScript(): string {
  return MODULES.map((name) =>
    unlinked(readFileSync(new URL(`browser/${name}`, import.meta.url), 'utf8')),
  ).join('');
}

function unlinked(source: string): string {
  const text = source
    .replace(/^import \{[^}]*\} from '\.\/[\w-]+\.js';\n/gm, '')
    .replace(/^export \{\};\n/gm, '')
    .replace(/^\/\/# sourceMappingURL=.*\n?/gm, '')
    .replace(/^export (?=const |function )/gm, '');
  const left = /^(?:import|export)\b.*/m.exec(text)?.[0];
  if (left !== undefined) throw new Error(`the page's script cannot hold ${left}`);
  return text;
}
