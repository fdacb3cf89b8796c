import { lstat, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The packages that bring a build for every system, whichever they are installed on. */
const PACKAGES = ['onnxruntime-node', 'tokenizers'] as const;

/** What was taken away. */
export interface Trimmed {
  readonly files: number;
  readonly bytes: number;
}

/**
 * Removes the libraries of installed packages that are for other systems than this one: 3 of 4 bytes of an installation.
 * npm has no way to leave them out, since the packages hold all of them.
 */
export async function trimForeignBinaries(
  platform = process.platform as string,
  arch = process.arch as string,
): Promise<Trimmed> {
  let [files, bytes] = [0, 0];
  for (const path of await foreignBinaries(installedFolders(), platform, arch)) {
    bytes += (await lstat(path)).size;
    files++;
    await rm(path);
  }
  return { files, bytes };
}

/** Files of `folders`, each a package's, that are libraries of another system. */
export async function foreignBinaries(
  folders: readonly string[],
  platform: string,
  arch: string,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    for (const name of await readdir(folder, { recursive: true })) {
      const path = name.replaceAll('\\', '/');
      const system = systemOf(path);
      if (system !== undefined && !fits(system, platform, arch)) found.push(join(folder, name));
    }
  }
  return found.sort();
}

/** The system that a path names: `bin/napi-v6/linux/x64/libonnxruntime.so.1`, `tokenizers.linux-x64-gnu.node`. */
function systemOf(path: string): readonly [platform: string, arch: string] | undefined {
  const found =
    /^bin\/napi-v\d+\/([a-z\d]+)\/([a-z\d]+)\/[^/]*\.[^/]+$/.exec(path) ??
    /^tokenizers\.([a-z\d]+)-([a-z\d]+)(?:-[a-z]+)?\.node$/.exec(path);
  return found === null ? undefined : [found[1] ?? '', found[2] ?? ''];
}

const fits = ([system, built]: readonly [string, string], platform: string, arch: string): boolean =>
  system === platform && (built === arch || built === 'universal');

function installedFolders(): readonly string[] {
  const require = createRequire(import.meta.url);
  return PACKAGES.flatMap((name) => {
    try {
      return [dirname(require.resolve(`${name}/package.json`))];
    } catch {
      return [];
    }
  });
}
