import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
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

/** Heartbeats of milliseconds, so that a test waits as little. */
const QUICK = { heartbeatMs: 50, silentMs: 400, watchMs: 250 };

describe('writers on another host', () => {
  const root = temporaryFolder();
  let folders = 0;

  /** The announcement of a process on another host, last written `ageMs` ago by the file system's clock. */
  function announce(recipe: string, ageMs: number): { folder: string; path: string } {
    const folder = join(root, String(folders++));
    mkdirSync(join(folder, '.writers'), { recursive: true });
    const path = join(folder, '.writers/elsewhere-1-00.json');
    const writer = { host: 'elsewhere.example', space: '', pid: 1, started: '5', recipe };
    writeFileSync(path, JSON.stringify(writer));
    const time = (Date.now() - ageMs) / 1000;
    utimesSync(path, time, time);
    return { folder, path };
  }
  /** Their heartbeats, in times of a clock that is `shiftMs` off. */
  function beating(path: string, shiftMs: number): NodeJS.Timeout {
    let beats = 0;
    return setInterval(() => {
      const time = (Date.now() + shiftMs) / 1000 + beats++ / 1e3;
      utimesSync(path, time, time);
    }, 40);
  }

  it.each([
    ['lately', 0],
    ['by a clock a little ahead', -200],
  ])('that wrote %s are believed to live', async (_, age) => {
    const { folder } = announce('one', age);
    await expect(claimFolder(folder, 'two', undefined, QUICK)).rejects.toMatchObject({ code: 'folder-busy' });
    expect(readdirSync(join(folder, '.writers'))).toEqual(['elsewhere-1-00.json']);
  });

  it.each([
    ['an hour behind', 3_600_000],
    ['a day ahead', -86_400_000],
  ])('that write by a clock %s live: they are watched, not judged by the time', async (_, age) => {
    const { folder, path } = announce('one', age);
    const timer = beating(path, -age);
    await expect(claimFolder(folder, 'two', undefined, QUICK)).rejects.toMatchObject({ code: 'folder-busy' });
    clearInterval(timer);
    expect(readdirSync(join(folder, '.writers'))).toEqual(['elsewhere-1-00.json']);
  });

  it.each([
    ['long ago', 3_600_000],
    ['in what is the future since the clock was set back', -86_400_000],
  ])('that wrote %s and write no more are dead', async (_, age) => {
    const { folder } = announce('one', age);
    const claim = await claimFolder(folder, 'two', undefined, QUICK);
    expect(readdirSync(join(folder, '.writers'))).toHaveLength(1);
    await claim.release();
    expect(readdirSync(join(folder, '.writers'))).toHaveLength(0);
  });

  it('with the same recipe are left alone, dead or alive', async () => {
    const { folder } = announce('one', 3_600_000);
    const claim = await claimFolder(folder, 'one', undefined, QUICK);
    expect(readdirSync(join(folder, '.writers'))).toHaveLength(2);
    await claim.release();
  });

  it('with this host’s name, in a container of its own, are not taken for dead by their pid', async () => {
    const { folder, path } = announce('one', 0);
    const pid = 2 ** 22 - 1;
    writeFileSync(
      path,
      JSON.stringify({ host: hostname(), space: 'pid:[1]', pid, started: '5', recipe: 'one' }),
    );
    await expect(claimFolder(folder, 'two', undefined, QUICK)).rejects.toMatchObject({ code: 'folder-busy' });
  });

  it('that were taken for dead while they were frozen stop when they wake', async () => {
    const folder = join(root, String(folders++));
    const claim = await claimFolder(folder, 'one', undefined, QUICK);
    await claim.check?.();
    for (const name of readdirSync(join(folder, '.writers'))) rmSync(join(folder, '.writers', name));
    await expect(claim.check?.()).rejects.toMatchObject({ code: 'claim-lost', reach: 'fatal' });
    await new Promise((resolve) => claim.signal?.addEventListener('abort', resolve));
    expect(claim.signal?.reason).toMatchObject({ code: 'claim-lost' });
    await claim.release();
  });
});
