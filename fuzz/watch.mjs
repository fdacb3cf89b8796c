/** Watches which files and programs a process opens through node:fs and node:child_process. */
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const { realpathSync } = fs;

/** Where a path leads, its links resolved as far as it is there. */
function realOf(path) {
  for (let at = path, rest = ''; ; ) {
    try {
      return join(realpathSync(at), rest);
    } catch {
      rest = join(basename(at), rest);
      if (at === dirname(at)) return path;
      at = dirname(at);
    }
  }
}

/** Calls that read or write a path; `stat` and `realpath` only look. */
const CALLS = [
  'open',
  'openSync',
  'readFile',
  'readFileSync',
  'writeFile',
  'writeFileSync',
  'createReadStream',
  'createWriteStream',
  'readdir',
  'readdirSync',
  'opendir',
  'rename',
  'renameSync',
  'rm',
  'rmSync',
  'unlink',
  'mkdir',
  'mkdirSync',
  'copyFile',
  'cp',
  'symlink',
  'link',
];
/** The package's own programs, which run graphs and look for cards where they can end nothing else. */
const OWN = ['model/onnx-export-runner-main.js', 'flow/worker-host-main.js', 'device/device.probe.js'].map(
  (name) => fileURLToPath(new URL(`../dist/${name}`, import.meta.url)),
);
/** As it is given to `fork`: a path, or an address. */
const isOwn = (file) => OWN.includes(/^file:/.test(String(file)) ? fileURLToPath(file) : String(file));
const PROGRAMS = ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork'];

/** @returns `start` before an input, `stop` after it with what was touched and may not be */
export function watchFiles({ input, outside }) {
  const project = fileURLToPath(new URL('..', import.meta.url));
  const allowed = [
    resolve(input),
    realOf(project),
    realOf('/proc/self'),
    '/proc',
    '/sys/fs/cgroup',
    '/usr/bin/ldd',
    // Where packages of native code look for theirs.
    realOf(process.execPath),
    join(dirname(realOf(process.execPath)), 'prebuilds'),
    realOf(join(project, 'node_modules')),
    join(realOf(project), '..', 'shared'),
  ];
  const shared = fileURLToPath(new URL('../../shared', import.meta.url));
  allowed.push(realOf(shared));
  let found = null;

  const note = (call, path) => {
    if (found === null) return;
    const text =
      path instanceof URL
        ? fileURLToPath(path)
        : typeof path === 'string' || Buffer.isBuffer(path)
          ? String(path)
          : null;
    if (text === null) return;
    const real = realOf(resolve(text));
    if (text.includes('\0') || allowed.some((folder) => real === folder || real.startsWith(`${folder}/`)))
      return;
    if (found.length < 50) found.push(`${call} ${real}`);
  };
  for (const [holder, label] of [
    [fs, 'fs'],
    [fs.promises, 'fs.promises'],
  ]) {
    for (const call of CALLS) {
      const original = holder[call];
      if (typeof original !== 'function') continue;
      holder[call] = function watched(path, ...rest) {
        note(`${label}.${call}`, path);
        if (/^(rename|copyFile|cp|symlink|link)/.test(call)) note(`${label}.${call}`, rest[0]);
        return original.call(this, path, ...rest);
      };
      // promisify and others look for these.
      Object.setPrototypeOf(holder[call], original);
    }
  }
  for (const call of PROGRAMS) {
    const original = childProcess[call];
    childProcess[call] = function watched(file, ...rest) {
      const program = file === process.execPath ? rest[0]?.[0] : file;
      if (!isOwn(program)) found?.push(`${call} ${file}`);
      return original.call(this, file, ...rest);
    };
  }
  syncBuiltinESMExports();
  return {
    outside,
    allow: (folder) => void allowed.push(realOf(folder)),
    start() {
      found = [];
    },
    stop() {
      const all = found ?? [];
      found = null;
      return all;
    },
    tmp: tmpdir(),
  };
}
