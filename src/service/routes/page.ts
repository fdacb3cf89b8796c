import { existsSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { App } from '../http/app.js';
import { findArtifact } from '../jobs/artifacts.js';

const BUILT = fileURLToPath(new URL('../../web/', import.meta.url));
const INDEX = 'index.html';
const YEAR_SECONDS = 365 * 24 * 3600;

/** The web page, where it has been built. Names of assets hold a hash of what is in them. */
export function pageRoutes(app: App): void {
  const folder = existsSync(BUILT) ? realpathSync(BUILT) : null;
  app.get(
    '/*',
    { config: { open: true }, schema: { hide: true, params: z.object({ '*': z.string() }) } },
    async ({ params }, reply) => {
      const asked = params['*'] === '' ? INDEX : params['*'];
      const found = folder === null ? null : await findArtifact(folder, asked);
      if (folder === null || found === null) return reply.callNotFound();
      return reply.sendFile(
        found,
        folder,
        found.startsWith('assets/')
          ? { maxAge: YEAR_SECONDS * 1000, immutable: true }
          : { cacheControl: true, maxAge: 0 },
      );
    },
  );
}
