/** An engine's process: started in a group of its own, its words heard, and ended whole. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { parseJson } from '../json/parse-json.js';
import type { EngineCommand } from './command.js';

/** What an engine said on standard error. */
export interface EngineLog {
  readonly level: 'note' | 'warning';
  readonly message: string;
}

export interface EngineProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Resolves with how it ended, in words; null while it runs well and for exit code 0. */
  readonly ended: Promise<string | null>;
  /** The last error that it told by the protocol. */
  told(): { readonly code: string; readonly message: string } | null;
  /** Its last lines that were no such words, in one. */
  tail(): string;
  /** Ends it and whatever it started, at once. */
  kill(): void;
}

const MAX_LINE = 4000;
const LAST_WORDS_MS = 1000;
const TAIL_LINES = 12;
const TAIL_CHARACTERS = 1200;

/** Those that run; a process that exits takes them with it. */
const running = new Set<() => void>();
let listening = false;

/** Rejects with Node's own error where the program cannot be started. */
export async function startEngineProcess(
  command: EngineCommand,
  onLog: (log: EngineLog) => void,
): Promise<EngineProcess> {
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(command.file, [...command.args], {
    // A group of its own: Ctrl-C of a terminal reaches this process alone, which ends the engine when it is done with it.
    detached: process.platform !== 'win32',
    shell: command.shell,
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: command.cwd,
    env: { ...process.env, ...command.environment },
  });
  let over = false;
  const kill = (): void => {
    if (over || child.pid === undefined) return;
    try {
      if (process.platform === 'win32') child.kill('SIGKILL');
      else process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has gone by itself.
    }
  };
  const words = listen(child.stderr, onLog);
  // Writing to one that has gone: how it ended says more.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<string | null>((resolve) => {
    child.once('exit', (code, signal) => {
      // What it started and left behind goes too.
      kill();
      over = true;
      running.delete(kill);
      const how = endInWords(code, signal);
      // Its last words may still be under way. Standard output is left to whoever reads it.
      const timer = setTimeout(() => resolve(how), LAST_WORDS_MS);
      child.stderr.once('close', () => {
        clearTimeout(timer);
        resolve(how);
      });
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  running.add(kill);
  if (!listening) {
    listening = true;
    process.once('exit', () => {
      for (const one of running) one();
    });
  }
  return { stdin: child.stdin, stdout: child.stdout, ended, ...words, kill };
}

function endInWords(code: number | null, signal: NodeJS.Signals | null): string | null {
  // A shell tells the signal that ended its command as a code.
  const number = signal === null && code !== null && code > 128 ? code - 128 : null;
  const name = signal ?? Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  if (name === 'SIGKILL') return 'it was killed (SIGKILL), as the system does where memory runs out';
  if (name !== undefined) return `it was ended by ${name}`;
  return code === 0 ? null : `it ended with code ${code}`;
}

/** Takes standard error apart: lines of the protocol, and others. Bounded, whatever comes. */
function listen(stream: Readable, onLog: (log: EngineLog) => void): Pick<EngineProcess, 'told' | 'tail'> {
  let told: { code: string; message: string } | null = null;
  const tail: string[] = [];
  let line = '';
  const take = (text: string): void => {
    const found = protocolLine(text);
    if (found === null) {
      if (text.trim() === '') return;
      tail.push(text.trim());
      if (tail.length > TAIL_LINES) tail.shift();
    } else if (found.level === 'error') told = { code: found.code, message: found.message };
    else onLog({ level: found.level, message: found.message });
  };
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (line + chunk).split('\n');
    line = (lines.pop() ?? '').slice(-MAX_LINE);
    for (const one of lines) take(one.slice(0, MAX_LINE));
  });
  stream.on('close', () => take(line));
  stream.on('error', () => undefined);
  return { told: () => told, tail: () => tail.join(' / ').slice(-TAIL_CHARACTERS) };
}

/** Python's own last line where a package is missing before an engine's code has begun. */
const MISSING_MODULE = /^ModuleNotFoundError: No module named '([^'.]{1,100})/;

/** What a line of standard error says by the protocol; null for any other line. */
export function protocolLine(
  text: string,
): { level: 'note' | 'warning' | 'error'; message: string; code: string } | null {
  const [, missing] = MISSING_MODULE.exec(text) ?? [];
  if (missing !== undefined) {
    return { level: 'error', code: 'no-package', message: `Python package '${missing}' is missing` };
  }
  if (!text.startsWith('{')) return null;
  try {
    const { level, message, code } = parseJson(text) as Readonly<Record<string, unknown>>;
    if (typeof message !== 'string' || (level !== 'note' && level !== 'warning' && level !== 'error'))
      return null;
    return { level, message, code: typeof code === 'string' ? code : 'engine-failed' };
  } catch {
    return null;
  }
}
