/** Which program an engine is, and how it is started. Nothing is started here. */
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { usageError } from '../errors.js';

/** Engines that run as a Python process of this package. */
export const PYTHON_ENGINES = ['torch'] as const;

/** The engine that needs no process: ONNX Runtime in this package. */
export const EMBEDDED_ENGINE = 'onnxruntime';
const EXEC = 'exec:';

export interface EngineCommand {
  /** As it was named: `torch`, `exec:./mine --fast`. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** The line is given to a shell. */
  readonly shell: boolean;
  readonly cwd: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
}

/** Whether a setting names an engine at all. */
export const isEngineName = (name: string): boolean =>
  name === EMBEDDED_ENGINE ||
  (PYTHON_ENGINES as readonly string[]).includes(name) ||
  (name.startsWith(EXEC) && name.slice(EXEC.length).trim() !== '');

/** Beside `dist`, in a checkout and in the published package. */
const pythonSource = fileURLToPath(new URL('../../python/src', import.meta.url));

/** The interpreter: as set, else `TOKENSIEVE_PYTHON`, else `python3`. */
export const pythonOf = (set: string | undefined): string =>
  set ?? (process.env['TOKENSIEVE_PYTHON'] || 'python3');

/**
 * @param python `run.python`
 * @throws TokensieveError (usage) `no-such-engine`
 */
export function engineCommand(name: string, python?: string): EngineCommand {
  const environment = {
    // Models are named by folder: nothing is fetched, and nobody is told.
    HF_HUB_OFFLINE: '1',
    HF_HUB_DISABLE_TELEMETRY: '1',
    DO_NOT_TRACK: '1',
    TOKENIZERS_PARALLELISM: 'false',
    // For products that are the same bits each time (PyTorch on CUDA).
    CUBLAS_WORKSPACE_CONFIG: ':4096:8',
    TOKENSIEVE_ENGINE_PARENT: String(process.pid),
  };
  if (name.startsWith(EXEC)) {
    const line = name.slice(EXEC.length).trim();
    return { name, file: line, args: [], shell: true, cwd: undefined, environment };
  }
  if (!(PYTHON_ENGINES as readonly string[]).includes(name)) {
    throw usageError(
      'no-such-engine',
      `engine ${name}: is not known; expected ${EMBEDDED_ENGINE}, ${PYTHON_ENGINES.join(', ')} or exec:COMMAND`,
    );
  }
  const path = process.env['PYTHONPATH'];
  return {
    name,
    file: pythonOf(python),
    args: ['-m', 'tokensieve.engine', name],
    shell: false,
    // `-m` looks for modules in the current folder first; what lies where the user is must not be loaded for torch.
    cwd: tmpdir(),
    environment: {
      ...environment,
      PYTHONSAFEPATH: '1',
      PYTHONPATH: path ? `${pythonSource}:${path}` : pythonSource,
      PYTHONUNBUFFERED: '1',
    },
  };
}
