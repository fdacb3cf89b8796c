/**
 * The rooms of src and which of them use which, from the imports, those of types included.
 *   node scripts/rooms.mjs          prints cycles between rooms, and the files that make them
 *   node scripts/rooms.mjs --write  puts order and arrows into the table of docs/architecture.md
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const doc = join(root, 'docs/architecture.md');
const [begin, end] = ['<!-- rooms: begin -->', '<!-- rooms: end -->'];
const IMPORT = /(?:\bfrom\s*|\bimport\s*\(?\s*)'(\.[^'\n]+)'/g;

/** @typedef {{ readonly from: string, readonly to: string, readonly file: string, readonly imports: string }} Arrow */

/**
 * Every import of one file of `src` by another. What lies in no room is the ground floor, which all may use, and
 * index.ts, the door, which uses all; both are named `.`.
 * @returns {Arrow[]}
 */
export function importsOf(tree = root) {
  const files = readdirSync(join(tree, 'src'), { recursive: true, encoding: 'utf8' });
  const room = (/** @type {string} */ path) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '.');
  return files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      [...readFileSync(join(tree, 'src', file), 'utf8').matchAll(IMPORT)].map(([, name = '']) => {
        const imports = normalize(join(dirname(file), name));
        return { from: room(file), to: room(imports), file, imports };
      }),
    )
    .filter(({ imports }) => !imports.startsWith('..'));
}

/** Those that lead from one room into another. */
export const arrowsOf = (tree = root) => importsOf(tree).filter(({ from, to }) => from !== to);

/** @param {readonly Arrow[]} imports @returns {Map<string, Set<string>>} every file and those that it imports */
export function filesOf(imports) {
  /** @type {Map<string, Set<string>>} */
  const files = new Map();
  for (const { file, imports: name } of imports) {
    const used = name.replace(/\.js$/, '.ts');
    files.set(file, (files.get(file) ?? new Set()).add(used));
    if (!files.has(used)) files.set(used, new Set());
  }
  return files;
}

/** @param {readonly Arrow[]} arrows @returns {Map<string, Set<string>>} every room and those that it uses */
export function usesOf(arrows, tree = root) {
  const folders = readdirSync(join(tree, 'src'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  const uses = new Map(folders.map(({ name }) => [name, /** @type {Set<string>} */ (new Set())]));
  for (const { from, to } of arrows) if (to !== '.') uses.get(from)?.add(to);
  return uses;
}

/**
 * The rooms in layers: a room stands after all that it uses. Rooms that use each other in a circle make one layer.
 * @param {ReadonlyMap<string, ReadonlySet<string>>} uses
 * @returns {string[][]}
 */
export function layersOf(uses) {
  /** @type {(room: string) => Set<string>} */
  const reach = (room) => {
    const seen = new Set(uses.get(room));
    for (const next of seen) for (const further of uses.get(next) ?? []) seen.add(further);
    return seen;
  };
  const reached = new Map([...uses.keys()].map((room) => [room, reach(room)]));
  /** @type {Map<string, string[]>} */
  const groups = new Map();
  for (const room of [...uses.keys()].sort()) {
    const circle = [...uses.keys()].filter(
      (other) => other !== room && reached.get(room)?.has(other) && reached.get(other)?.has(room),
    );
    groups.set([room, ...circle].sort().join(), [room, ...circle].sort());
  }
  const sizes = new Map([...reached].map(([room, seen]) => [room, seen.size - Number(seen.has(room))]));
  return [...groups.values()].sort(
    ([a = ''], [b = '']) => (sizes.get(a) ?? 0) - (sizes.get(b) ?? 0) || (a < b ? -1 : 1),
  );
}

/**
 * The document with the table's order and its arrows as the code has them; what a room holds stays as it is written.
 * @param {string} text
 */
export function withRooms(text, tree = root) {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/architecture.md has no ${begin} … ${end}`);
  const holds = new Map(
    [...text.slice(from, to).matchAll(/^\| `(\w+)\/` \| (.*?) \|/gm)].map(([, room = '', what = '']) => [
      room,
      what,
    ]),
  );
  const uses = usesOf(arrowsOf(tree), tree);
  const rows = layersOf(uses)
    .flat()
    .map((room) => {
      const used = [...(uses.get(room) ?? [])].sort().map((name) => `\`${name}\``);
      return `| \`${room}/\` | ${holds.get(room) ?? '?'} | ${used.join(', ') || '–'} |`;
    });
  const table = ['| room | holds | uses |', '|---|---|---|', ...rows].join('\n');
  return `${text.slice(0, from + begin.length)}\n\n${table}\n\n${text.slice(to)}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--write')) writeFileSync(doc, withRooms(readFileSync(doc, 'utf8')));
  const arrows = arrowsOf();
  for (const circle of layersOf(usesOf(arrows)).filter(({ length }) => length > 1)) {
    console.log(`a circle: ${circle.join(', ')}`);
    for (const { from, to, file, imports } of arrows) {
      if (circle.includes(from) && circle.includes(to)) console.log(`  ${file} → ${imports}`);
    }
  }
}
