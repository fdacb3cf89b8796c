/** Why CUDA loads here or does not: the provider's files, the libraries it needs, the driver. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { askNvidiaSmi } from '../device/nvidia-smi.js';
import { firstLine } from '../errors.js';
import { findConstant, isElf, readSharedLibrary } from './elf.js';

/** The provider's files, which lie beside the runtime's binding. */
export const PROVIDER_FILES = [
  'libonnxruntime_providers_shared.so',
  'libonnxruntime_providers_cuda.so',
] as const;

/** Names a folder that holds the provider's files, or `libonnxruntime_providers_cuda.so` itself. */
export const PROVIDER_VARIABLE = 'TOKENSIEVE_CUDA_PROVIDER';

export interface CudaFacts {
  /** Version of the onnxruntime-node that is installed. */
  readonly runtimeVersion: string;
  /** Folder that the provider's files must lie in. */
  readonly folder: string;
  /** Files of the provider that are missing there; one that the installation left a note in place of counts as missing. */
  readonly missing: readonly string[];
  /** What the provider that is there says of itself; null without one. */
  readonly provider: ProviderFacts | null;
  readonly driver: DriverFacts | null;
}

export interface ProviderFacts {
  /** ONNX Runtime version that it was built from; null where it does not say. */
  readonly version: string | null;
  /** Major version of the CUDA runtime it is built for; null where it needs none by name. */
  readonly cuda: number | null;
  /** Libraries that it needs, and where the loader would find each; null where it would not. */
  readonly libraries: readonly { readonly name: string; readonly path: string | null }[];
  /** Folders that were looked in, in order. */
  readonly looked: readonly string[];
  /** Folders that hold libraries which the loader does not find. */
  readonly elsewhere: readonly string[];
  /** Why it could not be read. */
  readonly damage: string | null;
}

export interface DriverFacts {
  readonly gpus: readonly string[];
  /** `580.159.04`. */
  readonly version: string;
}

/** Oldest driver of each CUDA version: "CUDA Compatibility", NVIDIA, table of minor version compatibility. */
const OLDEST_DRIVER: Readonly<Record<number, number>> = { 11: 450, 12: 525, 13: 580 };

/** Reads what there is; runs nothing but nvidia-smi and ldconfig. */
export async function cudaFacts(runtimeVersion: string, folder: string): Promise<CudaFacts> {
  const there = await Promise.all(PROVIDER_FILES.map((name) => isElf(join(folder, name))));
  const missing = PROVIDER_FILES.filter((_, index) => there[index] === false);
  const library = join(folder, PROVIDER_FILES[1]);
  return {
    runtimeVersion,
    folder,
    missing,
    provider: missing.includes(PROVIDER_FILES[1]) ? null : await providerFacts(library),
    driver: readDriver(),
  };
}

export async function providerFacts(library: string): Promise<ProviderFacts> {
  try {
    const { needed, runPath } = await readSharedLibrary(library);
    const looked = [
      ...new Set([...runPath.map((at) => at.replace('$ORIGIN', dirname(library))), ...loaderFolders()]),
    ];
    const cache = loaderCache();
    const libraries = needed.map((name) => ({
      name,
      path: looked.map((at) => join(at, name)).find((path) => existsSync(path)) ?? cache.get(name) ?? null,
    }));
    const lost = libraries.filter(({ path }) => path === null).map(({ name }) => name);
    const cuda = needed
      .map((name) => /^libcudart\.so\.(\d+)/.exec(name)?.[1])
      .find((major) => major !== undefined);
    return {
      version: await findConstant(library, /1\.\d{1,2}\.\d{1,2}/),
      cuda: cuda === undefined ? null : Number(cuda),
      libraries,
      looked,
      elsewhere: usualFolders().filter((at) => lost.some((name) => existsSync(join(at, name)))),
      damage: null,
    };
  } catch (error) {
    const nothing = { version: null, cuda: null, libraries: [], looked: [], elsewhere: [] };
    return { ...nothing, damage: firstLine(error) };
  }
}

/** What stands in the way of CUDA, each with what to do about it; none where nothing is seen to. */
export function cudaFindings({ runtimeVersion, folder, missing, provider, driver }: CudaFacts): string[] {
  const findings: string[] = [];
  if (missing.length > 0) {
    findings.push(
      `${missing.join(' and ')} of ONNX Runtime ${runtimeVersion} not found in ${folder}; \`tokensieve doctor --fix\` fetches the files, or takes them from --provider PATH (or ${PROVIDER_VARIABLE})`,
    );
  }
  if (provider !== null) findings.push(...providerFindings(provider, runtimeVersion, folder));
  if (driver === null) {
    findings.push(
      'no NVIDIA driver: nvidia-smi does not run; install the driver, or give the container the GPU',
    );
  }
  const oldest = provider?.cuda && OLDEST_DRIVER[provider.cuda];
  if (driver !== null && oldest && Number.parseInt(driver.version, 10) < oldest) {
    findings.push(
      `driver ${driver.version} is too old for CUDA ${provider?.cuda}, which needs ${oldest} or newer; update the driver, or take a provider built for an older CUDA`,
    );
  }
  return findings;
}

function providerFindings(
  { version, libraries, looked, elsewhere, damage }: ProviderFacts,
  runtimeVersion: string,
  folder: string,
): string[] {
  const file = join(folder, PROVIDER_FILES[1]);
  if (damage !== null) return [`${file}: ${damage}; put the file there again`];
  const findings: string[] = [];
  if (version !== null && version !== runtimeVersion) {
    findings.push(
      `${file} is of ONNX Runtime ${version}, onnxruntime-node is ${runtimeVersion}; the two must be one version: npm install onnxruntime-node@${version}, or take the provider of ${runtimeVersion}`,
    );
  }
  const lost = libraries.filter(({ path }) => path === null).map(({ name }) => name);
  if (lost.length > 0) {
    const hint =
      elsewhere.length > 0
        ? `put ${elsewhere.join(':')} into LD_LIBRARY_PATH, some are there`
        : 'install the CUDA libraries of that version and put their folders into LD_LIBRARY_PATH';
    findings.push(
      `${lost.join(', ')} not found by the loader, which the provider needs; looked in ${looked.join(', ')} and the loader's cache: ${hint}`,
    );
  }
  return findings;
}

/** Driver and cards by nvidia-smi; null where it does not run or says nothing. */
export function readDriver(): DriverFacts | null {
  const text = askNvidiaSmi(['driver_version', 'name', 'memory.total'], true);
  return text === null ? null : parseDriver(text);
}

/** `580.159.04, NVIDIA H100 80GB HBM3, 81559 MiB`, a line a card. */
export function parseDriver(text: string): DriverFacts | null {
  const cards = text
    .split('\n')
    .map((line) => line.split(',').map((cell) => cell.trim()))
    .filter(([version]) => /^\d+(\.\d+)+$/.test(version ?? ''));
  const [first] = cards;
  if (first?.[0] === undefined) return null;
  return { version: first[0], gpus: cards.map(([, name = '', memory = '']) => `${name}, ${memory}`) };
}

/** Folders that ld.so looks in, before and after its cache. */
const loaderFolders = (): string[] => [
  ...(process.env['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== ''),
  ...['/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu', '/lib64', '/usr/lib64', '/lib', '/usr/lib'],
];

/** Libraries of ld.so's cache by file name; empty where ldconfig cannot be asked. */
function loaderCache(): ReadonlyMap<string, string> {
  for (const command of ['ldconfig', '/sbin/ldconfig']) {
    const run = spawnSync(command, ['-p'], { encoding: 'utf8', timeout: 20_000 });
    if (run.status === 0) return parseCache(run.stdout);
  }
  return new Map();
}

/** Lines of `ldconfig -p`: `libcuda.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcuda.so.1`. */
export function parseCache(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [, name = '', path = ''] of text.matchAll(/^\s*(\S+) \([^)]*x86-64[^)]*\) => (\S+)$/gm)) {
    if (!found.has(name)) found.set(name, path);
  }
  return found;
}

/** Where CUDA's installers put libraries without telling the loader. */
function usualFolders(): string[] {
  const below = (root: string, part: RegExp, tail: string): string[] => {
    try {
      return readdirSync(root)
        .filter((name) => part.test(name))
        .map((name) => join(root, name, tail));
    } catch {
      return [];
    }
  };
  return [
    ...below('/usr/local', /^cuda/, 'lib64'),
    ...below('/usr/local', /^cuda/, 'targets/x86_64-linux/lib'),
    ...below('/usr/local', /^nvidia$/, 'lib64'),
  ];
}
