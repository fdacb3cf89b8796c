import { readFile } from 'node:fs/promises';
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/** The machine as this process may use it. */
export interface Machine {
  readonly node: string;
  /** `linux x64 6.1.0`. */
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
  /** Threads that the scheduler gives this process: affinity counted, cgroup quotas not. */
  readonly parallelism: number;
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
  /** Limits of the control group (containers, batch systems); null where there is none. */
  readonly cgroup: { readonly memoryBytes: number | null; readonly cores: number | null };
}

export async function describeMachine(): Promise<Machine> {
  return {
    node: process.version,
    system: `${platform()} ${arch()} ${release()}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    parallelism: availableParallelism(),
    memoryBytes: totalmem(),
    freeMemoryBytes: freemem(),
    cgroup: await cgroupLimits('/sys/fs/cgroup', await ownGroup()),
  };
}

/** This process's control group by version 2, `/` where there is none; in most containers it is `/` too. */
async function ownGroup(): Promise<string> {
  const text = await readFile('/proc/self/cgroup', 'utf8').catch(() => '');
  return /^0::(\/.*)$/m.exec(text)?.[1] ?? '/';
}

/**
 * The tightest memory and CPU limits of a control group and the groups it lies in, with the files of version 2
 * (`memory.max`, `cpu.max`) or 1 mounted at `root`. Unlimited and absent read as null.
 */
export async function cgroupLimits(root: string, group = '/'): Promise<Machine['cgroup']> {
  const memory: number[] = [];
  const cores: number[] = [];
  for (let at = group; ; at = dirname(at)) {
    const limits = await limitsOf(join(root, at));
    // Version 1 writes "no limit" as the largest multiple of a page below 2^63, and as a quota of -1.
    if (limits.memoryBytes > 0 && limits.memoryBytes < 2 ** 60) memory.push(limits.memoryBytes);
    if (Number.isFinite(limits.cores) && limits.cores > 0) cores.push(limits.cores);
    if (at === '/' || at === dirname(at)) break;
  }
  return {
    memoryBytes: memory.length === 0 ? null : Math.min(...memory),
    cores: cores.length === 0 ? null : Math.min(...cores),
  };
}

/** As the files of one folder have them; NaN or Infinity where there is none. */
async function limitsOf(folder: string): Promise<{ memoryBytes: number; cores: number }> {
  const read = async (...names: string[]): Promise<string> => {
    for (const name of names) {
      const text = await readFile(join(folder, name), 'utf8').catch(() => null);
      if (text !== null) return text.trim();
    }
    return '';
  };
  const [quota = '', period = ''] = (await read('cpu.max')).split(' ');
  return {
    memoryBytes: Number(await read('memory.max', 'memory/memory.limit_in_bytes')),
    cores:
      quota === ''
        ? Number(await read('cpu/cpu.cfs_quota_us')) / Number(await read('cpu/cpu.cfs_period_us'))
        : Number(quota) / Number(period),
  };
}
