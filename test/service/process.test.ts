import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { jobFiles } from '#tokensieve/service/jobs/job-files.js';
import { announce, startProcess, stopAnnounced } from '#tokensieve/service/jobs/process.js';
import { isRunning, startOfProcess } from '#tokensieve/storage/process-identity.js';
import { temporaryFolder } from '../support/quickstart.js';

const root = temporaryFolder();
let made = 0;
const job = (attempt: string | null) => {
  const files = jobFiles(join(root, `job-${made++}`));
  mkdirSync(files.folder);
  writeFileSync(files.record, JSON.stringify({ attempt }));
  return files;
};
const hidden = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith('.'));

/** A process that announces itself as a job's would, and does as it pleases with signals. */
async function announced(
  folder: string,
  script: string,
  name = 'ab',
): Promise<{ pid: number; started: string }> {
  const child = spawn(process.execPath, ['-e', `${script}; process.stdout.write('up')`], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const pid = child.pid ?? 0;
  const self = { pid, started: await startOfProcess(pid) };
  writeFileSync(join(folder, `.process-${name}.json`), JSON.stringify(self));
  return self;
}

describe('a process of a job', () => {
  it('runs its command while job.json names its attempt', async () => {
    const files = job('ab');
    const running = await startProcess(files, 'ab', ['--version']);
    expect(await running.ended).toEqual({ code: 0, signal: null });
    expect(existsSync(files.output)).toBe(true);
    expect(hidden(files.folder)).toEqual([]);
  });

  it.each(['cd', null])('does nothing when job.json says %s', async (attempt) => {
    const files = job(attempt);
    const running = await startProcess(files, 'ab', ['no-such-command']);
    expect(await running.ended).toEqual({ code: 0, signal: null });
    expect(hidden(files.folder)).toEqual([]);
  });

  it('announces itself before it looks: whoever takes the job over after that finds it', async () => {
    const files = job('ab');
    expect(await announce(files.folder, 'ab')).toBe(true);
    expect(hidden(files.folder)).toEqual(['.process-ab.json']);
    writeFileSync(files.record, JSON.stringify({ attempt: 'cd' }));
    expect(await announce(files.folder, 'ab')).toBe(false);
    expect(hidden(files.folder)).toEqual([]);
  });
});

describe('whoever takes a job over', () => {
  it('asks its process to stop', async () => {
    const { folder } = job(null);
    const self = await announced(
      folder,
      "process.on('SIGINT', () => process.exit(130)); setInterval(() => 0, 1e3)",
    );
    expect(await stopAnnounced(folder, 20_000)).toBe(1);
    expect(await isRunning(self)).toBe(false);
    expect(hidden(folder)).toEqual([]);
  });

  it('kills one that does not listen', async () => {
    const { folder } = job(null);
    const self = await announced(folder, "process.on('SIGINT', () => 0); setInterval(() => 0, 1e3)");
    const before = Date.now();
    expect(await stopAnnounced(folder, 300)).toBe(1);
    expect(Date.now() - before).toBeGreaterThanOrEqual(300);
    expect(await isRunning(self)).toBe(false);
  });

  it('leaves a process alone that only has the number of one that is gone', async () => {
    const { folder } = job(null);
    const self = await announced(folder, 'setInterval(() => 0, 1e3)');
    writeFileSync(join(folder, '.process-ab.json'), JSON.stringify({ ...self, started: '1' }));
    expect(await stopAnnounced(folder, 300)).toBe(process.platform === 'linux' ? 0 : 1);
    if (process.platform === 'linux') expect(await isRunning(self)).toBe(true);
    if (await isRunning(self)) process.kill(self.pid, 'SIGKILL');
    while (await isRunning(self)) await wait(20);
  });

  it.each(['', 'no json', '{"pid":1,"started":""}', '{"pid":-5,"started":""}', '{"pid":0}'])(
    'sends nothing to what %j names',
    async (text) => {
      const { folder } = job(null);
      writeFileSync(join(folder, '.process-ab.json'), text);
      expect(await stopAnnounced(folder, 100)).toBe(0);
      expect(hidden(folder)).toEqual([]);
    },
  );
});

describe('processes of an array', () => {
  it('announce themselves one by one, and all of them are found', async () => {
    const files = job('ab');
    for (const index of [0, 1]) expect(await announce(files.folder, 'ab', index)).toBe(true);
    expect(hidden(files.folder).toSorted()).toEqual(['.process-ab-0.json', '.process-ab-1.json']);
    const pids = [0, 1].map(async (index) => {
      const self = await announced(
        files.folder,
        "process.on('SIGINT', () => process.exit(130)); setInterval(() => 0, 1e3)",
        `ab-${index}`,
      );
      return self;
    });
    const selves = await Promise.all(pids);
    expect(await stopAnnounced(files.folder, 20_000)).toBe(2);
    for (const self of selves) expect(await isRunning(self)).toBe(false);
    expect(hidden(files.folder)).toEqual([]);
  });

  it('go behind a launcher, whose exit code is theirs', async () => {
    const files = job('ab');
    const launched = await startProcess(files, 'ab', ['--version'], { index: 1, launcher: ['env', 'A=b'] });
    expect(await launched.ended).toEqual({ code: 0, signal: null });
    expect(readFileSync(files.output, 'utf8')).toMatch(/^\d+\.\d+\.\d+/);
    const wrong = await startProcess(files, 'ab', ['--version'], {
      index: 0,
      launcher: ['no-such-launcher'],
    });
    expect(await wrong.ended).toEqual({ code: 2, signal: null });
    expect(readFileSync(files.log, 'utf8')).toContain('launcher no-such-launcher: cannot be started');
    expect(hidden(files.folder)).toEqual([]);
  });
});
