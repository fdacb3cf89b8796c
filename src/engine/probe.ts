/** Whether an engine's program loads here: it is started, told to say what it has, and ends. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import { firstLine } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { engineCommand, type PYTHON_ENGINES } from './command.js';
import { protocolLine } from './engine-process.js';

const run = promisify(execFile);

/** Seconds: a first import of PyTorch from a cold disk takes some twenty. */
const LIMIT_SECONDS = 60;

const probed = z.object({ libraries: z.record(z.string(), z.string()), devices: z.array(z.string()) });

const PACKAGES = {
  torch: 'torch transformers pyarrow',
  openvino: 'openvino torch transformers pyarrow',
} as const;

export interface EngineProbe {
  readonly works: boolean;
  /** One line: libraries and devices, or what is missing and the command that brings it. */
  readonly detail: string;
}

/** Starts `python -m tokensieve.engine NAME --probe`; never throws. */
export async function probeEngine(
  name: (typeof PYTHON_ENGINES)[number],
  python?: string,
): Promise<EngineProbe> {
  const { file, args, cwd, environment } = engineCommand(name, python);
  try {
    const { stdout } = await run(file, [...args, '--probe'], {
      cwd,
      env: { ...process.env, ...environment },
      timeout: LIMIT_SECONDS * 1000,
      killSignal: 'SIGKILL',
    });
    const { libraries, devices } = probed.parse(parseJson(stdout));
    const versions = Object.entries(libraries).map(([library, version]) => `${library} ${version}`);
    return { works: true, detail: `by ${file}: ${versions.join(', ')}; devices ${devices.join(', ')}` };
  } catch (error) {
    return { works: false, detail: reason(name, error, file) };
  }
}

function reason(name: keyof typeof PACKAGES, error: unknown, file: string): string {
  const { code, killed, stderr } = error as { code?: unknown; killed?: boolean; stderr?: string };
  if (code === 'ENOENT')
    return `no ${file} here; install Python 3.10 or later, or name one with TOKENSIEVE_PYTHON`;
  if (killed === true) return `${file} said nothing for ${LIMIT_SECONDS} s`;
  const told = (stderr ?? '')
    .trim()
    .split('\n')
    .map(protocolLine)
    .findLast((line) => line?.level === 'error');
  if (told == null) return firstLine(error);
  return `${told.message}${told.code === 'no-package' ? `; ${file} -m pip install ${PACKAGES[name]} brings what it needs` : ''}`;
}
