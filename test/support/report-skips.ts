import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromiumPath } from './chromium.js';
import { redisServerPath } from './redis.js';

/** Real corpora, tokenizers and checkpoints, when they are there; tests that need them say so when skipped. */
export const sharedData = fileURLToPath(new URL('../../../shared/data/', import.meta.url));
export const hasSharedData = existsSync(sharedData);

export default function setup(): void {
  if (!hasSharedData) console.warn('skipped: no shared data (tests over ../shared/data will not run)');
  if (chromiumPath === null) {
    console.warn(
      'skipped: no Chromium (tests of pages in a browser will not run; CHROMIUM names one elsewhere)',
    );
  }
  if (redisServerPath === null) {
    console.warn(
      'skipped: no redis-server (tests of the queue will not run; REDIS_SERVER names one elsewhere)',
    );
  }
}
