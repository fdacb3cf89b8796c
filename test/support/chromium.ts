import { existsSync } from 'node:fs';

const place = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

/** Where a Chromium is, Debian's by default; null where there is none, or `CHROMIUM` names nothing that is there. */
export const chromiumPath: string | null = existsSync(place) ? place : null;
