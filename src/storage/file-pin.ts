/**
 * Files pinned: what a file was when a run planned with it, so that the run can look again before it vouches for anything made
 * of it. A pin that has not moved says that the bytes are the same; one that has moved says nothing, and the bytes are asked.
 */
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';

/** A file of the local disk as it was. */
export interface FilePin {
  readonly path: string;
  /** Size, times, inode and device, `pinOf`. */
  readonly pin: string;
}

/** Size, times in nanoseconds, device and inode. */
export const pinOf = ({ size, mtimeNs, ctimeNs, ino, dev }: BigIntStats): string =>
  `${size}\t${mtimeNs}\t${ctimeNs}\t${dev}:${ino}`;

/** Where the time of the last change is as coarse as the kernel's tick, a file may change twice at one time. */
const TICK_MS = 20;

/** The pin of a file as it is now. Of a file that was changed just now, only once another change would have another time. */
export async function pinFile(path: string): Promise<FilePin> {
  const look = (): Promise<BigIntStats> => stat(path, { bigint: true });
  let found = await look();
  const age = Date.now() - Number(found.ctimeNs / 1_000_000n);
  if (age >= 0 && age < TICK_MS) {
    await wait(TICK_MS - age);
    found = await look();
  }
  return { path, pin: pinOf(found) };
}

/** Whether the pin has moved; a file that is gone has. */
export const hasMoved = ({ path, pin }: FilePin): Promise<boolean> =>
  stat(path, { bigint: true }).then(
    (now) => pinOf(now) !== pin,
    () => true,
  );
