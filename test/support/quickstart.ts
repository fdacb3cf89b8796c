import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { makeQuickstart } from '../../fixtures/quickstart/make.mjs';

/** A folder that goes when the test file is done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tokensieve-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface QuickstartInputs {
  readonly folder: string;
  readonly shards: string;
  readonly reference: string;
  readonly current: string;
}

/** The quickstart's generated corpus, tokenizer and two bigram checkpoints. */
export async function quickstartInputs(folder: string): Promise<QuickstartInputs> {
  await makeQuickstart(folder);
  return {
    folder,
    shards: join(folder, 'corpus/noisy/*.parquet'),
    reference: join(folder, 'models/reference'),
    current: join(folder, 'models/current'),
  };
}
