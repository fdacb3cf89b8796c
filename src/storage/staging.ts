/**
 * Names of staging files: `.<name>.<host>-<pid>-<random>.staging`, in the folder of the file they become, so
 * that the final rename never crosses file systems. Host and pid say whose they are: a file may be swept when
 * its process is dead, and only on its own host (another host's pids mean nothing here).
 */
import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { processSpace } from './process-identity.js';

const SUFFIX = '.staging';
const PATTERN = /^\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.staging$/su;
/** Characters of the final name kept in the staging name, so that long names stay within 255 bytes. */
const NAME_CHARACTERS = 24;

/** Containers may share a host's name: the space of pids is told with it. */
const hostTag = (): string =>
  createHash('sha256').update(`${hostname()} ${processSpace()}`).digest('hex').slice(0, 8);

const stemOf = (name: string): string => Array.from(name).slice(0, NAME_CHARACTERS).join('');

export function stagingName(name: string): string {
  return `.${stemOf(name)}.${hostTag()}-${process.pid}-${randomBytes(6).toString('hex')}${SUFFIX}`;
}

/** True when the staging name is one of files that become `name`; of those that begin as it does, if it is long. */
export const isStagedFor = (staging: string, name: string): boolean =>
  isStagingName(staging) && staging.startsWith(`.${stemOf(name)}.`);

export const isStagingName = (name: string): boolean => name.endsWith(SUFFIX) && PATTERN.test(name);

/** True when the name is a staging file of this host whose process is no more. */
export function isAbandoned(name: string): boolean {
  const [, host, pid] = PATTERN.exec(name) ?? [];
  if (host !== hostTag() || pid === undefined) return false;
  return !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: alive, another user's.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}
