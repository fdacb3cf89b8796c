import { existsSync } from 'node:fs';

/** Where a Chromium is, Debian's by default; null where there is none. */
export const chromiumPath: string | null =
  [process.env['CHROMIUM'], '/usr/bin/chromium'].find((path) => path !== undefined && existsSync(path)) ??
  null;
