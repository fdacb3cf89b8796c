/** Prints the packages of node_modules that the benchmark's modules load, one a line, with all that those depend on. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Asked for by name somewhere in what `entry` imports, statically or not. */
function imported(entry, seen = new Set(), names = new Set()) {
  if (seen.has(entry) || !existsSync(entry)) return names;
  seen.add(entry);
  const text = readFileSync(entry, 'utf8');
  const found = text.matchAll(/(?:from|import)\s*\(?\s*['"]([^'"\n]+)['"]|new URL\(['"](\.[^'"\n]+)['"]/g);
  for (const [, name, file] of found) {
    const path = file ?? name;
    if (path.startsWith('.')) imported(join(dirname(entry), path), seen, names);
    else if (!path.startsWith('node:') && /^[@a-z]/.test(path))
      names.add(
        path
          .split('/')
          .slice(0, path.startsWith('@') ? 2 : 1)
          .join('/'),
      );
  }
  return names;
}

/** Its folder, nested folders included, and the names below. */
function withDependencies(name, from, seen) {
  const at = [from, root].map((base) => join(base, 'node_modules', name)).find((path) => existsSync(path));
  if (at === undefined || seen.has(at)) return;
  seen.add(at);
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
    readFileSync(join(at, 'package.json'), 'utf8'),
  );
  for (const other of Object.keys({ ...dependencies, ...optionalDependencies }))
    withDependencies(other, at, seen);
}

createRequire(import.meta.url);
const names = imported(fileURLToPath(new URL('./job.mjs', import.meta.url)));
imported(join(root, 'fixtures/quickstart/make.mjs'), new Set(), names);
imported(join(root, 'dist/cli/doctor.js'), new Set(), names);
/** The bundle's own. */
for (const own of ['onnxruntime-node', 'onnxruntime-common']) names.delete(own);
const folders = new Set();
for (const name of names) withDependencies(name, root, folders);
const top = join(root, 'node_modules');
for (const folder of folders)
  if (folder.startsWith(top) && !folder.slice(top.length + 1).includes('node_modules'))
    console.log(folder.slice(top.length + 1));
