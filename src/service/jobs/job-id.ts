import { randomInt } from 'node:crypto';

/** `20261123t221500-7f3a`: the second in UTC, and four digits that tell jobs of one second apart. */
export const JOB_ID = /^\d{8}t\d{6}-[0-9a-f]{4}$/;

/** Ids of one second are at most this far apart, so that there is room for many. */
const STEP = 64;

/**
 * An id for a job submitted now. Ids sort as jobs were submitted, also when the clock goes back or several come in
 * one second.
 * @param last the newest id there is, '' for none
 */
export function nextJobId(now: Date, last: string): string {
  const second = now
    .toISOString()
    .replace(/[-:]|\.\d+Z$/g, '')
    .toLowerCase();
  const [lastSecond = '', lastDigits = '0'] = last.split('-');
  if (second > lastSecond) return `${second}-${digits(randomInt(0x1000))}`;
  const next = Number.parseInt(lastDigits, 16) + 1 + randomInt(STEP);
  if (next <= 0xffff) return `${lastSecond}-${digits(next)}`;
  return nextJobId(new Date(instantOf(lastSecond) + 1000), last);
}

const digits = (value: number): string => value.toString(16).padStart(4, '0');

/** Milliseconds of `20261123t221500`. */
const instantOf = (second: string): number =>
  Date.parse(second.replace(/^(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)$/, '$1-$2-$3T$4:$5:$6Z'));
