import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { arrowsOf, filesOf, importsOf, layersOf, usesOf, withRooms } from '../scripts/rooms.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const arrows = arrowsOf();

describe('the rooms of src', () => {
  it('use each other in no circle, types included (node scripts/rooms.mjs names the files)', () => {
    expect(layersOf(usesOf(arrows)).filter(({ length }) => length > 1)).toEqual([]);
  });

  it('have no files that use each other in a circle', () => {
    expect(layersOf(filesOf(importsOf())).filter(({ length }) => length > 1)).toEqual([]);
  });

  it('stand on a ground floor that uses none of them', () => {
    expect(arrows.filter(({ from, file }) => from === '.' && file !== 'index.ts')).toEqual([]);
  });

  it('know nothing of the door', () => {
    expect(arrows.filter(({ imports }) => imports === 'index.js')).toEqual([]);
  });

  it('hold what docs/architecture.md says is in them: every file that it names is there', () => {
    const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
    const named = [...text.matchAll(/`((?:src|web|docs|scripts|test)\/[\w./-]+)`/g)].map(
      ([, path = '']) => path,
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('and their arrows are those of docs/architecture.md (node scripts/rooms.mjs --write)', () => {
    const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
    expect(text).toBe(withRooms(text));
    // A new room says what it holds.
    expect(text).not.toContain('| ? |');
  });
});

describe('what reads them', () => {
  const tree = mkdtempSync(join(tmpdir(), 'tokensieve-rooms-'));
  afterAll(() => rmSync(tree, { recursive: true }));

  it('sees imports of types, of effects and those made at run time, and rooms in a circle', () => {
    for (const [path, text] of Object.entries({
      'below/a.ts': 'export const a = 1;',
      'left/b.ts': "import type { C } from '../right/c.js';\nimport '../below/a.js';",
      'right/deep/d.ts': "export const d = () => import('../../left/b.js');",
      'right/c.ts': "export * from './deep/d.js';",
      'above/e.ts': "import {\n  d,\n} from '../right/deep/d.js';",
    })) {
      mkdirSync(join(tree, 'src', path, '..'), { recursive: true });
      writeFileSync(join(tree, 'src', path), text);
    }
    const uses = usesOf(arrowsOf(tree), tree);
    expect(Object.fromEntries([...uses].map(([room, used]) => [room, [...used]]))).toEqual({
      below: [],
      left: expect.arrayContaining(['right', 'below']),
      right: ['left'],
      above: ['right'],
    });
    expect(layersOf(uses)).toEqual([['below'], ['left', 'right'], ['above']]);
  });
});
