import { readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** A process of this host. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks, where the system tells: a pid alone may have been reused. */
  readonly started: string;
}

/** Whether this very process still runs. */
export async function isRunning({ pid, started }: ProcessIdentity): Promise<boolean> {
  if (!isThere(pid)) return false;
  const { state, started: now } = await statOf(pid);
  // A zombie has ended; only its parent has not been told yet.
  if (state === 'Z' || state === 'X') return false;
  // Not to be read: on this system, or because it has gone since the first look.
  if (now === '') return isThere(pid);
  return started === '' || now === started;
}

/** Whether there is a process of this number. */
function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The process's start time, or '' on systems that do not tell. */
export const startOfProcess = async (pid: number): Promise<string> => (await statOf(pid)).started;

/** State and start time from /proc (fields 3 and 22 of stat); empty on systems without it. */
async function statOf(pid: number): Promise<{ readonly state: string; readonly started: string }> {
  try {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', started: fields[19] ?? '' };
  } catch {
    return { state: '', started: '' };
  }
}

let space: string | undefined;

/**
 * Where this process's pid means something: the name of its pid namespace, '' on systems without. Containers may share
 * a host's name and a disk, and see nothing of each other's processes.
 */
export function processSpace(): string {
  if (space === undefined) {
    try {
      space = readlinkSync('/proc/self/ns/pid');
    } catch {
      space = '';
    }
  }
  return space;
}
