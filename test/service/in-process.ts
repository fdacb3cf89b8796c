import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { JobState } from '#tokensieve/service/jobs/lifecycle.js';
import { inState, newRecord } from '#tokensieve/service/jobs/record.js';
import { openStore } from '#tokensieve/service/jobs/store.js';
import { openService } from '#tokensieve/service/open-service.js';
import { type ServeInput, serveSettings } from '#tokensieve/service/settings.js';
import { temporaryFolder } from '../support/quickstart.js';
import { type Ask, asking } from './server.js';

/** A service in this process, over a folder of its own, with a client; closed when the test file is done. */
export async function serviceHere(
  settings: Partial<ServeInput> = {},
  root = temporaryFolder(),
): Promise<{ readonly url: string; readonly ask: Ask; readonly root: string; close(): Promise<void> }> {
  const service = await openService(
    serveSettings.parse({ roots: [root], port: 0, plans: false, log: 'silent', ...settings }),
    '0.0.0-test',
  );
  let open = true;
  const close = async (): Promise<void> => {
    if (open) await service.close();
    open = false;
  };
  afterAll(close);
  return { url: service.url, ask: asking(service.url), root, close };
}

/** A pipeline that is well-formed but names nothing that is there: its job fails at once. */
export const EMPTY_PIPELINE = 'shards: [none.parquet]\nreference: none\n';

/** Puts a job into a root before a service opens it. Its folder, where files can be added. */
export async function seedJob(root: string, id: string, state: JobState): Promise<string> {
  const store = openStore(join(root, 'jobs'));
  mkdirSync(join(root, 'jobs'), { recursive: true });
  const at = '2026-01-01T00:00:00.000Z';
  const fresh = newRecord({
    id,
    name: `job ${id}`,
    submitted: at,
    stages: ['score'],
    parts: [],
    reports: [],
  });
  await store.create(state === 'queued' ? fresh : inState(fresh, state, at), EMPTY_PIPELINE);
  const { folder, log } = store.files(id);
  writeFileSync(log, '{"event":"attempt","attempt":1}\n{"event":"note","message":"hello"}\nplain words\n');
  return folder;
}
