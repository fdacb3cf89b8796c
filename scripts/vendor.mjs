/**
 * The libraries that every command loads, as one file each: node scripts/vendor.mjs, the end of `npm run build`.
 *
 * A command's start is mostly the finding and reading of small files: zod is 95 of them, apache-arrow 70. They are bundled
 * into dist/vendor with their licences, and the compiled modules import them from there; nothing else of dist changes.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { rolldown } from 'rolldown';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const vendor = join(dist, 'vendor');
const PACKAGES = ['zod', 'apache-arrow', 'flatbuffers'];
/** What these bring with them. */
const WITHIN = ['tslib'];
/** `from 'zod'`, `import 'apache-arrow/type'`, `import('flatbuffers')`, in code that TypeScript wrote. */
const IMPORT = /(?<=\bfrom |\bimport\(|\bimport )'((?:zod|apache-arrow|flatbuffers)(?:\/[^']+)?)'/g;

const modules = readdirSync(dist, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.js') && !/^(vendor|web)\/|\/page\/browser\//.test(name))
  .map((name) => join(dist, name));
const used = [
  ...new Set(
    modules.flatMap((path) => [...readFileSync(path, 'utf8').matchAll(IMPORT)].map(([, name]) => name)),
  ),
].sort();
const fileOf = (name) => `${name.replaceAll('/', '-')}.js`;

rmSync(vendor, { recursive: true, force: true });
const bundle = await rolldown({
  input: Object.fromEntries(used.map((name) => [fileOf(name).slice(0, -3), name])),
  cwd: root,
  platform: 'node',
  // flatbuffers is CommonJS to Node, which has no names to import from a bundle; it brings the same as modules.
  plugins: [
    {
      name: 'english',
      // The words of fifty languages are a third of zod; its errors are in English unless it is told otherwise, which we do not.
      load: (id) =>
        /\/zod\/v4\/locales\/index\.js$/.test(id.replaceAll('\\', '/'))
          ? "export { default as en } from './en.js';"
          : null,
    },
  ],
  resolve: { mainFields: ['module', 'main'] },
});
const { output } = await bundle.write({
  dir: vendor,
  format: 'esm',
  chunkFileNames: 'shared-[hash].js',
  minify: { codegen: true, compress: false, mangle: false },
});
await bundle.close();
const named = new RegExp(`/node_modules/(${[...PACKAGES, ...WITHIN].join('|')})/`);
const unknown = output
  .flatMap(({ moduleIds = [] }) => moduleIds)
  .find((id) => !id.startsWith('\0') && !named.test(id.replaceAll('\\', '/')));
if (unknown !== undefined)
  throw new Error(`${unknown} came into dist/vendor: name its package here, for its licence`);

for (const path of modules) {
  const code = readFileSync(path, 'utf8');
  const moved = code.replaceAll(IMPORT, (_, name) => {
    const to = relative(dirname(path), join(vendor, fileOf(name))).replaceAll('\\', '/');
    return `'${to.startsWith('.') ? to : `./${to}`}'`;
  });
  if (moved !== code) writeFileSync(path, moved);
}

const licences = [...PACKAGES, ...WITHIN].map((name) => {
  const folder = join(root, 'node_modules', name);
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const texts = readdirSync(folder)
    .filter((file) => /^(licen[cs]e|notice)/i.test(file))
    .map((file) => readFileSync(join(folder, file), 'utf8').trim());
  if (texts.length === 0) throw new Error(`${name} has no licence to put into dist/vendor`);
  return `${name} ${version}\n\n${texts.join('\n\n')}\n`;
});
writeFileSync(join(vendor, 'LICENSES.txt'), licences.join(`\n${'-'.repeat(78)}\n\n`));
