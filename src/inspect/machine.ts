import { readFile } from 'node:fs/promises';
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os';

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
    cgroup: await cgroupLimits('/sys/fs/cgroup'),
  };
}

/**
 * Memory and CPU limits of the control group whose files are mounted at `root`, version 2 (`memory.max`,
 * `cpu.max`) or 1. Unlimited and absent read as null.
 */
export async function cgroupLimits(root: string): Promise<Machine['cgroup']> {
  const read = async (...names: string[]): Promise<string> => {
    for (const name of names) {
      const text = await readFile(`${root}/${name}`, 'utf8').catch(() => null);
      if (text !== null) return text.trim();
    }
    return '';
  };
  const memory = Number(await read('memory.max', 'memory/memory.limit_in_bytes'));
  const [quota = '', period = ''] = (await read('cpu.max')).split(' ');
  const cores =
    quota === ''
      ? Number(await read('cpu/cpu.cfs_quota_us')) / Number(await read('cpu/cpu.cfs_period_us'))
      : Number(quota) / Number(period);
  // Version 1 writes "no limit" as the largest multiple of a page below 2^63, and as a quota of -1.
  return {
    memoryBytes: memory > 0 && memory < 2 ** 60 ? memory : null,
    cores: Number.isFinite(cores) && cores > 0 ? cores : null,
  };
}
