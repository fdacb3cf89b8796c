import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pLimit from 'p-limit';
import { firstLine } from '../../errors.js';
import type { Jobs, Submission } from '../jobs/jobs.js';
import type { JobStore } from '../jobs/store.js';
import { ServiceError } from '../service-error.js';

export interface Plan {
  /** What `tokensieve plan --json` prints, less the list of parts. */
  readonly plan: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export interface Planner {
  /** @throws TokensieveError for what is wrong with the pipeline; ServiceError `no-plan`, `too-many-plans` */
  plan(submission: Submission, signal: AbortSignal): Promise<Plan>;
  /** Makes the plan of a submitted job, in the background, into its folder. */
  planJob(id: string): void;
  close(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
const MAX_WAITING = 16;
const MAX_OUTPUT_BYTES = 32 << 20;
const TIMEOUT_MS = 100_000;

/** Plans one pipeline at a time, each in a process of its own: measuring the machine's rate blocks one. */
export function createPlanner(
  jobs: Jobs,
  store: JobStore,
  warn: (message: string) => void,
  /** Whether submitted jobs are planned without being asked. */
  background: boolean,
): Planner {
  const oneByOne = pLimit(1);
  const closing = new AbortController();

  const enter = <T>(make: () => Promise<T>): Promise<T> => {
    if (oneByOne.pendingCount >= MAX_WAITING) {
      throw new ServiceError(429, 'too-many-plans', 'too many plans are being made; try again later', 10);
    }
    return oneByOne(make);
  };

  return {
    async plan(submission, signal) {
      const { settings } = await jobs.resolve(submission);
      const until = AbortSignal.any([signal, closing.signal, AbortSignal.timeout(TIMEOUT_MS)]);
      return enter(() => planOf(settings, until, 'waited-for'));
    },
    planJob(id) {
      const make = async (): Promise<void> => {
        const { settings } = await jobs.resolve({ pipeline: await store.pipeline(id) });
        const until = AbortSignal.any([closing.signal, AbortSignal.timeout(TIMEOUT_MS)]);
        const plan = await planOf(settings, until, 'background');
        await writeFile(store.files(id).plan, `${JSON.stringify(plan, null, 2)}\n`);
      };
      if (!background || oneByOne.pendingCount >= MAX_WAITING) return;
      oneByOne(make).catch((error: unknown) => {
        if (!closing.signal.aborted) warn(`${id}: no plan: ${firstLine(error)}`);
      });
    },
    async close() {
      closing.abort();
      await oneByOne(() => Promise.resolve());
    },
  };
}

/** Somebody waits for a plan that was asked for; those of submitted jobs are made beside jobs, which come first. */
type Urgency = 'waited-for' | 'background';

/** Runs `tokensieve plan` over settings. */
async function planOf(settings: object, signal: AbortSignal, urgency: Urgency): Promise<Plan> {
  if (signal.aborted) throw tooLong();
  const folder = await mkdtemp(join(tmpdir(), 'tokensieve-plan-'));
  try {
    const file = join(folder, 'pipeline.json');
    await writeFile(file, JSON.stringify(settings));
    const output = await planProcess(file, folder, signal, urgency);
    const { plans: _, text, ...plan } = JSON.parse(output) as Record<string, unknown>;
    return { plan, text: String(text) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function planProcess(file: string, cwd: string, signal: AbortSignal, urgency: Urgency): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, 'plan', file, '--json'], {
      cwd,
      signal,
      killSignal: 'SIGKILL',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (child.pid !== undefined && urgency === 'background') lower(child.pid);
    const output: Buffer[] = [];
    let bytes = 0;
    let words = '';
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_OUTPUT_BYTES) child.kill('SIGKILL');
      else output.push(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-4096);
    });
    child.on('error', (error) => reject(signal.aborted ? tooLong() : error));
    child.on('close', (code) => {
      // 3: some shards are broken, which the plan names.
      if (code === 0 || code === 3) return resolve(Buffer.concat(output).toString('utf8'));
      const [, said] = /^tokensieve: (.*)$/m.exec(words) ?? [];
      if (said === undefined) return reject(tooLong());
      const why = said.replaceAll(file, 'pipeline');
      reject(new ServiceError(code === 1 || code === 2 ? 400 : 503, 'no-plan', why));
    });
  });
}

const tooLong = (): ServiceError =>
  new ServiceError(
    503,
    'no-plan',
    'making the plan took too long, or the service is stopping; try again later',
    10,
  );

function lower(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Over already.
  }
}
