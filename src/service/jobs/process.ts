/**
 * The processes that do a job's work: the command line, as a child in a process group of its own, with its log going
 * straight into the job's folder, so that it lives on, and is found again, when the service is killed.
 *
 * Each process announces itself in the job's folder before it looks whether it is still wanted, and a service that
 * takes a job over says so before it looks for announcements. Of the two at least one sees the other: no two processes
 * ever write one job's output.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { isRunning, type ProcessIdentity, startOfProcess } from '../../storage/process-identity.js';
import { type JobFiles, jobFiles } from './job-files.js';

const ENTRY = fileURLToPath(new URL('./process-main.js', import.meta.url));
const ANNOUNCED = /^\.process-[0-9a-f]+(?:-\d+)?\.json$/;
/** Time between two looks at a process that is not our child. */
const LOOK_MS = 50;

const identitySchema = z.object({ pid: z.int().min(2), started: z.string() });

export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
}

export interface JobProcess {
  readonly pid: number | undefined;
  readonly ended: Promise<Ended>;
  /** Asks it to stop: it finishes nothing half, and says so by exit code 130. */
  interrupt(): void;
  /** Ends it and whatever it started, at once. */
  kill(): void;
}

/** Which of an array's processes one is, and how it is started. */
export interface ProcessPlace {
  /** Null for the only one. */
  readonly index: number | null;
  /** Command that the process's command line goes behind; empty for none. */
  readonly launcher: readonly string[];
}

const ALONE: ProcessPlace = { index: null, launcher: [] };

/**
 * Starts one command of an attempt.
 * @param attempt what job.json says the attempt is; the process ends at once when it says something else
 */
export async function startProcess(
  files: JobFiles,
  attempt: string,
  args: readonly string[],
  { index, launcher }: ProcessPlace = ALONE,
): Promise<JobProcess> {
  const log = await open(files.log, 'a');
  const output = await open(files.output, 'a');
  let child: ChildProcess;
  try {
    const place = [String(index ?? ''), JSON.stringify(launcher)];
    child = spawn(process.execPath, [ENTRY, files.folder, attempt, ...place, ...args], {
      cwd: files.folder,
      detached: true,
      stdio: ['ignore', output.fd, log.fd],
    });
  } finally {
    await log.close();
    await output.close();
  }
  const { pid } = child;
  const ended = new Promise<Ended>((resolve) => {
    child.on('error', () => resolve({ code: null, signal: 'not started' }));
    child.on('exit', (code, signal) => resolve({ code, signal }));
  }).then(async (end) => {
    await rm(announcement(files.folder, attempt, index), { force: true });
    return end;
  });
  return {
    pid,
    ended,
    interrupt: () => send(pid, 'SIGINT'),
    kill: () => send(pid === undefined ? pid : -pid, 'SIGKILL'),
  };
}

/**
 * Stops every process that announced itself in a job's folder and still runs, whoever started it: it is asked to, and
 * after `graceMs` it is killed.
 * @returns how many there were
 */
export async function stopAnnounced(folder: string, graceMs: number): Promise<number> {
  const names = (await readdir(folder)).filter((name) => ANNOUNCED.test(name));
  const stopped = await Promise.all(names.map((name) => stopOne(join(folder, name), graceMs)));
  return stopped.filter((was) => was).length;
}

async function stopOne(path: string, graceMs: number): Promise<boolean> {
  const found = await readAnnouncement(path);
  const was = found !== null && (await isRunning(found));
  if (was) {
    send(found.pid, 'SIGINT');
    const end = Date.now() + graceMs;
    while ((await isRunning(found)) && Date.now() < end) await wait(LOOK_MS);
    if (await isRunning(found)) send(-found.pid, 'SIGKILL');
    while (await isRunning(found)) await wait(LOOK_MS);
  }
  await rm(path, { force: true });
  return was;
}

/** Called in the process itself: announces it, then tells whether it is still wanted. */
export async function announce(
  folder: string,
  attempt: string,
  index: number | null = null,
): Promise<boolean> {
  const path = announcement(folder, attempt, index);
  const self: ProcessIdentity = { pid: process.pid, started: await startOfProcess(process.pid) };
  await writeFile(`${path}.half`, JSON.stringify(self));
  await rename(`${path}.half`, path);
  const record: unknown = JSON.parse(await readFile(jobFiles(folder).record, 'utf8'));
  const wanted = z.object({ attempt: z.literal(attempt) }).safeParse(record).success;
  if (!wanted) await rm(path, { force: true });
  return wanted;
}

const announcement = (folder: string, attempt: string, index: number | null): string =>
  join(folder, `.process-${attempt}${index === null ? '' : `-${index}`}.json`);

async function readAnnouncement(path: string): Promise<ProcessIdentity | null> {
  try {
    return identitySchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}

/** Sends a signal; a process that is gone needs none. */
function send(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}
