/**
 * The wheel behind `pip install 'tokensieve[cli]'`: node scripts/wheel.mjs --out FOLDER, after `npm run build`.
 *
 * It holds what the npm package holds and the production modules that are installed here, less the libraries of other
 * systems, CUDA's (`tokensieve doctor --fix` fetches them), and what only compilers and debuggers read. setuptools builds it
 * from python/cli. Linux x64 alone; the index takes wheels of at most 100 MB, and so does this script.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { foreignBinaries } from '../dist/inspect/foreign-binaries.js';

const MAX_BYTES = 100e6;
const root = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: { out: { type: 'string', default: 'dist-wheel' }, python: { type: 'string', default: 'python3' } },
});
if (process.platform !== 'linux' || process.arch !== 'x64')
  throw new Error(`the wheel is made on Linux x64, this is ${process.platform} ${process.arch}`);

/** @param {string} command @param {readonly string[]} args */
const run = (command, args, cwd = root) =>
  execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'inherit'],
  });

const staging = mkdtempSync(join(tmpdir(), 'tokensieve-wheel-'));
try {
  cpSync(join(root, 'python/cli'), staging, { recursive: true });
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  writeFileSync(join(staging, 'VERSION'), version);
  const node = join(staging, 'src/tokensieve_cli/node');
  for (const path of [...ownFiles(), ...(await moduleFiles())]) {
    const to = join(node, path);
    mkdirSync(dirname(to), { recursive: true });
    cpSync(join(root, path), to);
  }
  const out = resolve(values.out);
  run(values.python, [
    '-m',
    'pip',
    'wheel',
    '--quiet',
    '--no-deps',
    '--disable-pip-version-check',
    '--wheel-dir',
    out,
    staging,
  ]);
  const name = readdirSync(out).find((file) => file.startsWith(`tokensieve_cli-${version}-`)) ?? '';
  const path = join(out, name);
  const { size } = statSync(path);
  if (size > MAX_BYTES) throw new Error(`${path}: ${size} bytes, more than the ${MAX_BYTES} of the index`);
  console.log(`${path}  ${size} bytes`);
} finally {
  rmSync(staging, { recursive: true, force: true });
}

/** What npm would publish. @returns {readonly string[]} */
function ownFiles() {
  const [packed] = JSON.parse(run('npm', ['pack', '--dry-run', '--ignore-scripts', '--json']));
  return packed.files.map((/** @type {{ path: string }} */ { path }) => path).filter(isRead);
}

/** Files of every module that the command needs, as installed here. */
async function moduleFiles() {
  const folders = run('npm', ['ls', '--omit=dev', '--all', '--parseable'])
    .split('\n')
    .slice(1)
    .filter(Boolean);
  const foreign = new Set(await foreignBinaries(folders, 'linux', 'x64'));
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      // A module's own modules are listed by themselves, where they are production's.
      .filter((path) => !relative(folder, path).includes('node_modules') && !foreign.has(path))
      .map((path) => relative(root, path))
      .filter((path) => isRead(path) && !/libonnxruntime_providers_/.test(path)),
  );
}

/** Not of types, maps or sources of types, which no program reads. @param {string} path */
function isRead(path) {
  return !/\.(map|d\.[cm]?ts|[cm]?ts|tsbuildinfo)$/.test(path);
}
