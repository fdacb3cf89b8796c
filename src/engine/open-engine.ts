/** Asking an engine: one process, one job, rows in and losses out (docs/engines.md). */
import { once } from 'node:events';
import { fatalError, firstLine, TokensieveError } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import type { EngineCommand } from './command.js';
import { type EngineLog, type EngineProcess, startEngineProcess } from './engine-process.js';
import { byteSource, readBatch, readSchema } from './messages.js';
import { type EngineAnswer, type EngineJob, engineAnswer } from './protocol.js';
import {
  answerColumns,
  answerLimit,
  checkAnswerSchema,
  decodeAnswer,
  type EngineLosses,
  type EngineRows,
  METADATA_KEY,
  requestStream,
} from './streams.js';

export interface Engine {
  readonly answer: EngineAnswer;
  /**
   * Losses of the rows under every model of the job, in nats. Calls may be made before earlier ones are answered.
   * @throws TokensieveError (fatal) `engine-failed`, `engine-hung`, `engine-garbage`, or a code that the engine told; after
   *   the first one every call fails with it
   */
  score(rows: EngineRows): Promise<EngineLosses>;
  /** Ends the request stream, and the process where that does not end it. */
  close(): Promise<void>;
}

export interface EngineOptions {
  readonly command: EngineCommand;
  readonly job: EngineJob;
  readonly onLog?: (log: EngineLog) => void;
  readonly limits?: EngineLimits;
}

/** Seconds that an engine may be silent. */
export interface EngineLimits {
  /** Until its models are loaded. */
  readonly open: number;
  /** For a batch: this, and `perToken` for each of its tokens. */
  readonly batch: number;
  readonly perToken: number;
}

/** A thousand tokens of a model of 70 billion on a slow processor take minutes; who is silent for longer is not at work. */
export const ENGINE_LIMITS: EngineLimits = { open: 1800, batch: 120, perToken: 0.2 };

/** Seconds that an engine has to end by itself once its requests have ended. */
const CLOSE_SECONDS = 10;

/**
 * Starts the engine and waits until its models are loaded.
 * @throws TokensieveError (fatal) `no-engine` where the program cannot be started; and as `Engine.score` does
 */
export async function openEngine({
  command,
  job,
  onLog = () => undefined,
  limits = ENGINE_LIMITS,
}: EngineOptions): Promise<Engine> {
  const process = await startEngineProcess(command, onLog).catch((error: unknown) => {
    throw notStarted(command, error);
  });
  const { stdin, stdout } = process;
  const requests = requestStream(job);
  const source = byteSource(stdout);
  let failed: Error | null = null;
  /** The first failure ends the process, and is what every later call is told. */
  const fail = async (error: unknown): Promise<never> => {
    failed ??= await failureOf(error, command, process);
    process.kill();
    throw failed;
  };
  const within = async <T>(seconds: number, act: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Hung(seconds)), seconds * 1000);
    });
    try {
      return await Promise.race([act, late]);
    } finally {
      clearTimeout(timer);
    }
  };
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (stdin.destroyed || stdin.write(bytes)) return;
    // One that has gone drains nothing.
    const left = new AbortController();
    await Promise.race([
      once(stdin, 'drain', { signal: left.signal }),
      once(stdin, 'close', { signal: left.signal }),
    ]).catch(() => undefined);
    left.abort();
  };

  void write(requests.head);
  const answer = await within(limits.open, readAnswer(source, job)).catch(fail);
  const columns = answerColumns(job).length;
  const lists = { nodes: 2 * columns, buffers: 4 * columns };
  let turn: Promise<unknown> = Promise.resolve();
  return {
    answer,
    async score(rows) {
      if (failed !== null) throw failed;
      void write(requests.batch(rows));
      const own = turn.then(async () => {
        if (failed !== null) throw failed;
        const seconds = limits.batch + limits.perToken * rows.ids.length;
        const limit = answerLimit(rows, columns);
        const message = await within(seconds, readBatch(source, { ...lists, limit }));
        if (message === null) throw new Error('it ended its answers before its requests');
        return decodeAnswer(message, rows, job);
      });
      turn = own.catch(() => undefined);
      return own.catch((error: unknown) => (error === failed ? Promise.reject(error) : fail(error)));
    },
    async close() {
      failed ??= fatalError('engine-closed', `engine ${command.name}: was closed`);
      if (!stdin.destroyed) {
        stdin.write(requests.end);
        stdin.end();
      }
      void source.drain();
      const timer = setTimeout(() => process.kill(), CLOSE_SECONDS * 1000);
      await process.ended;
      clearTimeout(timer);
    },
  };
}

class Hung extends Error {
  constructor(readonly seconds: number) {
    super('silent');
  }
}

/** The engine's own words for what it opened. Throws plain errors. */
async function readAnswer(source: ReturnType<typeof byteSource>, job: EngineJob): Promise<EngineAnswer> {
  const schema = await readSchema(source);
  if (schema === null) throw new Error('it ended without an answer');
  const text = schema.metadata.get(METADATA_KEY);
  if (text === undefined) throw new Error(`its answer has no '${METADATA_KEY}' in the schema's metadata`);
  const parsed = engineAnswer.safeParse(parseJson(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`its answer's ${issue?.path.join('.') || 'metadata'}: ${issue?.message ?? 'is wrong'}`);
  }
  const missing = job.models.find(({ name }) => parsed.data.models[name] === undefined);
  if (missing !== undefined) throw new Error(`its answer says nothing of model ${missing.name}`);
  checkAnswerSchema(schema, job);
  return parsed.data;
}

/** What is told of a failure: the engine's own words before how its pipe looked. */
async function failureOf(error: unknown, command: EngineCommand, process: EngineProcess): Promise<Error> {
  const place = `engine ${command.name}`;
  if (error instanceof Hung) {
    return fatalError(
      'engine-hung',
      `${place}: said nothing for ${Math.round(error.seconds)} s and was ended${lastLines(process)}; a batch takes smaller times with a smaller score.batch_tokens (--batch-tokens)`,
    );
  }
  // A pipe that breaks is seen before the process's end is.
  const end = await Promise.race([
    process.ended,
    new Promise<null>((resolve) => setTimeout(resolve, 2000, null).unref()),
  ]);
  const told = process.told();
  if (told !== null) return fatalError(told.code, `${place}: ${told.message}${hintFor(told.code)}`);
  const how = end ?? firstLine(error);
  if (end !== null) return fatalError('engine-failed', `${place}: ${how}${lastLines(process)}`);
  return fatalError(
    'engine-garbage',
    `${place}: ${how}${lastLines(process)}; nothing of this answer is used: see that it speaks the protocol with tokensieve engine check`,
    error instanceof TokensieveError ? { cause: error } : undefined,
  );
}

function hintFor(code: string): string {
  if (code === 'out-of-memory') return '; set a smaller score.batch_tokens (--batch-tokens)';
  if (code === 'no-package') return '; pip install it there, or name another interpreter with --python';
  return '';
}

const lastLines = (process: EngineProcess): string => {
  const tail = process.tail();
  return tail === '' ? '' : ` (its last words: ${tail})`;
};

function notStarted(command: EngineCommand, error: unknown): Error {
  const python = command.args[1] === 'tokensieve.engine';
  return fatalError(
    'no-engine',
    python
      ? `engine ${command.name}: ${command.file} cannot be started (${firstLine(error)}); install Python 3.10 or later, or name an interpreter with --python or TOKENSIEVE_PYTHON`
      : `engine ${command.name}: cannot be started (${firstLine(error)}); check the command`,
  );
}
