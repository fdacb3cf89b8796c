/** Getting the CUDA provider to where the runtime looks for it. */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { lstat, rm, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { firstLine, usageError } from '../errors.js';
import { type CudaFacts, PROVIDER_FILES, PROVIDER_VARIABLE, providerFacts } from './cuda.js';
import { isElf } from './elf.js';

/** A download of some 300 MB. */
const FETCH_MS = 30 * 60_000;

/**
 * Puts the provider's files beside the binding: links to those that `path` names, else what onnxruntime-node's own
 * install script fetches.
 * @param path a folder that holds them, or the provider's library; null for none
 * @returns what was done, in lines
 * @throws TokensieveError (usage) `no-provider`, `wrong-provider`: the path does not hold what is needed
 */
export async function fixCuda(facts: CudaFacts, path: string | null): Promise<string[]> {
  if (path !== null) return linkProvider(facts, path);
  if (facts.missing.length === 0) return [`the provider's files are in ${facts.folder}; nothing to fetch`];
  return fetchProvider(facts);
}

async function linkProvider({ folder, runtimeVersion }: CudaFacts, path: string): Promise<string[]> {
  const from = existsSync(path) && statSync(path).isDirectory() ? resolve(path) : dirname(resolve(path));
  const files = PROVIDER_FILES.map((name) => join(from, name));
  for (const file of files) {
    if (!(await isElf(file))) {
      throw usageError(
        'no-provider',
        `${path}: ${file} is no library; --provider (or ${PROVIDER_VARIABLE}) names a folder with ${PROVIDER_FILES.join(' and ')} of ONNX Runtime ${runtimeVersion}`,
      );
    }
  }
  const { version } = await providerFacts(join(from, PROVIDER_FILES[1]));
  if (version !== null && version !== runtimeVersion) {
    throw usageError(
      'wrong-provider',
      `${path}: the provider is of ONNX Runtime ${version}, onnxruntime-node is ${runtimeVersion}; the two must be one version: npm install onnxruntime-node@${version}, or name a provider of ${runtimeVersion}`,
    );
  }
  const done: string[] = [];
  for (const [index, name] of PROVIDER_FILES.entries()) {
    const [target, place] = [files[index] ?? '', join(folder, name)];
    if (resolve(place) === target) continue;
    // A link, or the note that an installation left; a library that is there is not thrown away.
    const there = await lstat(place).catch(() => null);
    if (there !== null && !there.isSymbolicLink() && (await isElf(place))) {
      done.push(`${place} is there already and was left`);
      continue;
    }
    if (there !== null) await rm(place);
    await symlink(target, place);
    done.push(`${place} links to ${target}`);
  }
  return done;
}

function fetchProvider({ folder, runtimeVersion }: CudaFacts): string[] {
  const root = join(folder, '..', '..', '..', '..');
  const script = join(root, 'script', 'install.js');
  if (!existsSync(script))
    return [`onnxruntime-node has no install script in ${root}; name a provider with --provider PATH`];
  const run = spawnSync(process.execPath, [script], {
    cwd: root,
    encoding: 'utf8',
    timeout: FETCH_MS,
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'true' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (run.status === 0) return [`fetched the CUDA provider of ONNX Runtime ${runtimeVersion} into ${folder}`];
  const why =
    /Error: (.*)/.exec(run.stderr)?.[1] ?? (run.stderr.trim() || `it ended with ${run.signal ?? run.status}`);
  return [
    `the CUDA provider could not be fetched: ${firstLine(why)}; on a machine that reaches it, fetch the NuGet package Microsoft.ML.OnnxRuntime.Gpu.Linux ${runtimeVersion}, unpack runtimes/linux-x64/native, bring the folder here and name it with --provider`,
  ];
}
