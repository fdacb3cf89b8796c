import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { claimFolder } from '#tokensieve/storage/folder-claim.js';
import { cliPath } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';

const module = pathToFileURL(join(cliPath, '../../storage/folder-claim.js')).href;

describe('writers of one folder', () => {
  const root = temporaryFolder();
  const children: ChildProcess[] = [];
  let folders = 0;
  const fresh = (): string => join(root, String(folders++));
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  /** A real process that claims the folder and holds it. */
  async function holder(folder: string, recipe: string): Promise<ChildProcess> {
    const code = `const { claimFolder } = await import(${JSON.stringify(module)});
      await claimFolder(${JSON.stringify(folder)}, ${JSON.stringify(recipe)});
      process.stdout.write('claimed'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    if (child.stdout) await once(child.stdout, 'data');
    return child;
  }

  it('with one recipe share it', async () => {
    const folder = fresh();
    await holder(folder, 'same');
    const claim = await claimFolder(folder, 'same');
    await claim.release();
  });

  it('with another recipe are refused, by name of the process', async () => {
    const folder = fresh();
    const child = await holder(folder, 'one');
    await expect(claimFolder(folder, 'two')).rejects.toMatchObject({
      code: 'folder-busy',
      reach: 'usage',
      message: expect.stringContaining(`process ${child.pid}`),
    });
    expect(readdirSync(join(folder, '.writers'))).toHaveLength(1);
  });

  it('that were killed do not block it, and their announcement is removed', async () => {
    const folder = fresh();
    const child = await holder(folder, 'one');
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    const claim = await claimFolder(folder, 'two');
    expect(readdirSync(join(folder, '.writers'))).toHaveLength(1);
    await claim.release();
    expect(readdirSync(join(folder, '.writers'))).toHaveLength(0);
  });
});
