import { randomBytes } from 'node:crypto';
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codecFor } from '../dataset/codecs.js';
import { PYTHON_ENGINES } from '../engine/command.js';
import { probeEngine } from '../engine/probe.js';
import { firstLine } from '../errors.js';
import { loadBinding } from '../tokenizer/native.js';
import { describeMachine, type Machine } from './machine.js';
import { describeRuntime, type Runtime } from './providers.js';

/** One thing that was tried here, and what came of it. */
export interface Check {
  readonly name: string;
  readonly works: boolean;
  /** One line: what it means, or why it does not work and what to do. */
  readonly detail: string;
}

export interface Disk {
  readonly folder: string;
  /** Bytes that this user may still write; null where the file system does not say. */
  readonly freeBytes: number | null;
}

export interface Diagnosis {
  readonly machine: Machine;
  readonly runtime: Runtime;
  readonly checks: readonly Check[];
  readonly disks: readonly Disk[];
  /** Whether scoring on the CPU works here. */
  readonly cpuWorks: boolean;
}

/** Tries everything that a run depends on. Writes one small file into the cache folder and removes it. */
export async function diagnose(cacheFolder: string, workFolder: string): Promise<Diagnosis> {
  const runtime = await describeRuntime();
  return {
    machine: await describeMachine(),
    runtime,
    checks: [
      await checkTokenizers(),
      await checkCodec('zstd'),
      await checkCodec('lz4'),
      await checkCache(cacheFolder),
      ...(await Promise.all(PYTHON_ENGINES.map(checkEngine))),
    ],
    disks: [await diskOf(workFolder), await diskOf(cacheFolder)],
    cpuWorks: runtime.devices.some(({ device, loads }) => device === 'cpu' && loads),
  };
}

async function checkTokenizers(): Promise<Check> {
  const name = 'native tokenizer';
  const found = await loadBinding();
  return 'binding' in found
    ? { name, works: true, detail: 'loads' }
    : {
        name,
        works: false,
        detail: `${found.reason}; the portable one gives the same ids, slower: npm install tokenizers brings the native one back`,
      };
}

async function checkCodec(codec: 'zstd' | 'lz4'): Promise<Check> {
  const name = `${codec} codec`;
  try {
    const bytes = new TextEncoder().encode('tokensieve '.repeat(64));
    const library = await codecFor(codec);
    const back = library?.decode(library.encode(bytes), bytes.length);
    const same = back !== undefined && Buffer.from(back).equals(bytes);
    return {
      name,
      works: same,
      detail: same ? 'round trip' : 'other bytes came back; reinstall the package',
    };
  } catch (error) {
    return { name, works: false, detail: firstLine(error) };
  }
}

const checkEngine = async (engine: (typeof PYTHON_ENGINES)[number]): Promise<Check> => ({
  name: `engine ${engine}`,
  ...(await probeEngine(engine)),
});

async function checkCache(folder: string): Promise<Check> {
  const name = 'cache folder';
  const file = join(folder, `.doctor-${process.pid}-${randomBytes(4).toString('hex')}`);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(file, 'x');
    return { name, works: true, detail: `${folder} can be written` };
  } catch (error) {
    return {
      name,
      works: false,
      detail: `${folder}: ${firstLine(error)}; set XDG_CACHE_HOME, or --cache of a run`,
    };
  } finally {
    await rm(file, { force: true }).catch(() => undefined);
  }
}

/** Of the file system that holds the folder, or would once it is made. */
async function diskOf(folder: string): Promise<Disk> {
  for (let at = folder; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return { folder, freeBytes: bavail * bsize };
    } catch {
      if (at === dirname(at)) return { folder, freeBytes: null };
    }
  }
}
