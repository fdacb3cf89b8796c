/**
 * What an engine has to be true to, tried: how a third party sees that its program speaks the protocol, and what it promises
 * (docs/engines.md). Nothing of the losses is taken for granted: that they are of one distribution follows from their sum.
 */
import { firstLine } from '../errors.js';
import type { EngineCommand } from './command.js';
import { type Engine, type EngineLimits, openEngine } from './open-engine.js';
import type { EngineAnswer, EngineJob, EngineOutput } from './protocol.js';
import type { EngineRows } from './streams.js';

export interface CheckRequest {
  readonly command: EngineCommand;
  /** Folder of a model that it loads. */
  readonly model: string;
  readonly device: string;
  readonly precision: EngineJob['precision'];
  readonly limits?: EngineLimits;
}

export interface CheckResult {
  readonly name: string;
  readonly verdict: 'ok' | 'failed' | 'not offered';
  /** What was measured, or what was found and expected. */
  readonly detail: string;
}

export interface CheckReport {
  readonly answer: EngineAnswer | null;
  readonly results: readonly CheckResult[];
}

/** Nats by which losses of one row may differ between batches: of float32, and of anything narrower. */
const TOLERANCE = { fp32: 1e-4, narrow: 0.1 } as const;
/** Nats by which −ln Σ p may differ from 0. */
const SUM_TOLERANCE = { fp32: 1e-4, narrow: 0.02 } as const;
const LONGEST = 128;
const NAME = 'model';
/** Continuations asked for at a time. */
const AT_ONCE = 1024;
/** Largest vocabulary whose probabilities are summed up. */
const MAX_SUMMED = 300_000;

type Row = readonly number[];

/** Runs every check; one that fails does not keep the others from being made. */
export async function checkEngine(request: CheckRequest): Promise<CheckReport> {
  const results: CheckResult[] = [];
  const job = (more: Partial<EngineJob> = {}): EngineJob => ({
    models: [{ name: NAME, folder: request.model }],
    device: request.device,
    card: 0,
    precision: request.precision,
    threads: 0,
    longest_row: LONGEST,
    attention: 'across',
    outputs: ['loss'],
    options: {},
    ...more,
  });
  const open = (more: Partial<EngineJob> = {}): Promise<Engine> =>
    openEngine({
      command: request.command,
      job: job(more),
      ...(request.limits && { limits: request.limits }),
    });
  const check = async (name: string, act: () => Promise<string | CheckResult['verdict']>): Promise<void> => {
    try {
      const detail = await act();
      const verdict = detail === 'not offered' ? 'not offered' : 'ok';
      results.push({ name, verdict, detail: verdict === 'ok' ? detail : '' });
    } catch (error) {
      results.push({ name, verdict: 'failed', detail: firstLine(error) });
    }
  };

  let engine: Engine | null = null;
  await check('opens', async () => {
    engine = await open();
    const facts = factsOf(engine);
    return `${engine.answer.engine}: ${facts.architecture}, ${facts.parameters} parameters, ${facts.vocabulary} logits, ${facts.dtype}`;
  });
  if (engine === null) return { answer: null, results };
  const opened: Engine = engine;
  const { vocabulary, dtype } = factsOf(opened);
  const width =
    /32|64/.test(dtype) && request.precision !== 'bf16' && request.precision !== 'fp16' ? 'fp32' : 'narrow';
  const rows = sampleRows(vocabulary);
  const ask = (some: readonly Row[]): Promise<Float32Array[]> => losses(opened, some);
  let together: readonly Float32Array[] = [];

  await check('rows of many lengths', async () => {
    together = await ask(rows);
    const bad = together.flatMap((row) => [...row]).find((value) => !Number.isFinite(value) || value < -1e-3);
    if (bad !== undefined) throw new Error(`a loss is ${bad}; expected nats, 0 or more`);
    return `${rows.length} rows of ${Math.min(...rows.map(({ length }) => length))} to ${LONGEST} ids`;
  });
  await check('the same bytes for the same batch', async () => {
    const again = await ask(rows);
    const differing = again.filter((row, index) => !sameBytes(row, together[index])).length;
    if (differing > 0)
      throw new Error(`${differing} of ${rows.length} rows differ in bits from one call to the next`);
    return 'identical';
  });
  await check('another process, the same bytes', async () => {
    const other = await open();
    try {
      const again = await losses(other, rows);
      const differing = again.filter((row, index) => !sameBytes(row, together[index])).length;
      if (differing > 0)
        throw new Error(`${differing} of ${rows.length} rows differ in bits from one process to the next`);
      return 'identical';
    } finally {
      await other.close();
    }
  });
  await check('order of rows changes nothing', async () =>
    within(together, (await ask(rows.toReversed())).toReversed(), TOLERANCE[width]),
  );
  await check('neighbours and padding change nothing', async () => {
    const alone: Float32Array[] = [];
    for (const row of rows) alone.push(...(await ask([row])));
    return within(together, alone, TOLERANCE[width]);
  });
  await check('no look ahead', async () => {
    const cut = rows.map((row) => row.slice(0, Math.max(1, row.length - 3)));
    const found = await ask(cut);
    return within(
      together.map((row, index) => row.subarray(0, Math.max(0, (cut[index]?.length ?? 1) - 1))),
      found,
      TOLERANCE[width],
    );
  });
  await check('one distribution: probabilities sum to 1', async () => {
    if (vocabulary > MAX_SUMMED) return `not tried: ${vocabulary} logits`;
    const prefix = (rows[3] ?? [1, 2, 3]).slice(0, 5);
    let sum = 0;
    for (let from = 0; from < vocabulary; from += AT_ONCE) {
      const ids = Array.from({ length: Math.min(AT_ONCE, vocabulary - from) }, (_, i) => from + i);
      for (const row of await ask(ids.map((id) => [...prefix, id])))
        sum += Math.exp(-(row.at(-1) ?? Number.NaN));
    }
    if (!(Math.abs(Math.log(sum)) <= SUM_TOLERANCE[width])) {
      throw new Error(
        `after ${prefix.length} ids the probabilities of all ${vocabulary} sum to ${sum}; expected 1`,
      );
    }
    return `sum ${sum.toFixed(7)}`;
  });
  await check('calls ahead of their answers', async () => {
    const found = await Promise.all([ask(rows), ask([[1, 2]]), ask(rows.slice(0, 3))]);
    return within(
      [...together, ...together.slice(0, 3)],
      [...(found[0] ?? []), ...(found[2] ?? [])],
      TOLERANCE[width],
    );
  });
  await check('a large batch', async () => {
    const many = Array.from({ length: 256 }, (_, index) => rowOf(vocabulary, LONGEST, index));
    return `${(await ask(many)).length} rows of ${LONGEST} ids`;
  });
  await check('ends with its requests', async () => {
    const began = performance.now();
    await opened.close();
    return `${Math.round(performance.now() - began)} ms`;
  });
  await check('attention within documents', () => checkWithin(open, rows, TOLERANCE[width]));
  await check('entropy and greedy', () => checkOutputs(open, opened.answer, rows));
  await check('refuses an output that it does not have', () =>
    refuses(open({ outputs: ['nothing' as EngineOutput] })),
  );
  await check('refuses an option that it does not know', () =>
    refuses(open({ options: { no_such_option: true } })),
  );
  await check('refuses a folder that is none', () =>
    refuses(open({ models: [{ name: NAME, folder: `${request.model}/no-such-folder` }] })),
  );
  await check('refuses an id beyond its vocabulary', async () => {
    const other = await open();
    return refuses(losses(other, [[1, vocabulary + 7, 2]])).finally(() => other.close());
  });
  return { answer: opened.answer, results };
}

function factsOf({ answer }: Engine): EngineAnswer['models'][string] {
  const facts = answer.models[NAME];
  if (facts === undefined) throw new Error(`its answer says nothing of model ${NAME}`);
  return facts;
}

/** Ids from a plain congruential sequence: the same on every machine. */
function rowOf(vocabulary: number, length: number, seed: number): number[] {
  let state = (seed + 1) * 7919;
  return Array.from({ length }, () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % vocabulary;
  });
}

const sampleRows = (vocabulary: number): readonly Row[] =>
  [2, LONGEST, 3, 17, 64, 1, 96, 33, 2, 65, LONGEST, 5].map((length, seed) =>
    rowOf(vocabulary, length, seed),
  );

/** [rows] arrays, each one shorter than its row. */
async function losses(
  engine: Engine,
  rows: readonly Row[],
  { output = 'loss' as EngineOutput, documents = null as readonly Row[] | null } = {},
): Promise<Float32Array[]> {
  const asked = rowsOf(rows, documents);
  const values = (await engine.score(asked)).get(NAME)?.[output];
  if (values === undefined) throw new Error(`no ${output} of model ${NAME}`);
  let at = 0;
  return rows.map(({ length }) => {
    const from = at;
    at += length - 1;
    return values.slice(from, at);
  });
}

function rowsOf(rows: readonly Row[], documents: readonly Row[] | null): EngineRows {
  const offsets = Int32Array.from([
    0,
    ...rows.map((_, r) => rows.slice(0, r + 1).reduce((sum, row) => sum + row.length, 0)),
  ]);
  const ids = Int32Array.from(rows.flat());
  if (documents === null) return { offsets, ids };
  return {
    offsets,
    ids,
    documents: Int32Array.from(documents.flat()),
    positions: Int32Array.from(documents.flatMap(positionsOf)),
  };
}

/** Positions that restart with each run of one document. */
function positionsOf(documents: Row): number[] {
  let start = 0;
  return documents.map((document, index) => {
    if (index > 0 && document !== documents[index - 1]) start = index;
    return index - start;
  });
}

const sameBytes = (a: Float32Array, b: Float32Array | undefined): boolean =>
  b !== undefined && a.length === b.length && a.every((value, index) => Object.is(value, b[index]));

/** The largest difference in words; throws where it is more than allowed. */
function within(
  expected: readonly Float32Array[],
  found: readonly Float32Array[],
  tolerance: number,
): string {
  let largest = 0;
  for (const [index, row] of expected.entries()) {
    const other = found[index];
    if (other?.length !== row.length)
      throw new Error(`row ${index} has ${other?.length} losses; expected ${row.length}`);
    for (const [at, value] of row.entries())
      largest = Math.max(largest, Math.abs(value - (other[at] ?? Number.NaN)));
  }
  if (!(largest <= tolerance))
    throw new Error(`losses differ by up to ${largest} nats; at most ${tolerance} is expected`);
  return `${largest.toExponential(1)} nats at most`;
}

type Open = (more?: Partial<EngineJob>) => Promise<Engine>;

/** Each document of a row as if it stood alone; or a refusal, which is an answer too. */
async function checkWithin(open: Open, rows: readonly Row[], tolerance: number): Promise<string> {
  let engine: Engine;
  try {
    engine = await open({ attention: 'within' });
  } catch {
    return 'not offered';
  }
  try {
    const packed = rows.filter(({ length }) => length >= 17);
    const documents = packed.map((row) => row.map((_, index) => Math.floor(index / 13)));
    const found = await losses(engine, packed, { documents });
    const alone: Float32Array[] = [];
    const parts: Float32Array[] = [];
    for (const [r, row] of packed.entries()) {
      for (let from = 0; from < row.length; from += 13) {
        const document = row.slice(from, from + 13);
        alone.push(...(await losses(engine, [document], { documents: [document.map(() => 0)] })));
        parts.push((found[r] ?? new Float32Array(0)).slice(from, from + document.length - 1));
      }
    }
    return within(alone, parts, tolerance);
  } finally {
    await engine.close();
  }
}

async function checkOutputs(open: Open, answer: EngineAnswer, rows: readonly Row[]): Promise<string> {
  const offered = (['entropy', 'greedy'] as const).filter((output) => answer.outputs.includes(output));
  if (offered.length === 0) return 'not offered';
  const engine = await open({ outputs: ['loss', ...offered] });
  try {
    const most = Math.log(factsOf(engine).vocabulary) + 1e-3;
    for (const output of offered) {
      const values = (await losses(engine, rows, { output })).flatMap((row) => [...row]);
      const fits = (value: number): boolean =>
        output === 'greedy' ? value === 0 || value === 1 : value >= -1e-3 && value <= most;
      const bad = values.find((value) => !fits(value));
      if (bad !== undefined) {
        throw new Error(
          `${output} is ${bad}; expected ${output === 'greedy' ? '0 or 1' : `0 to ln(vocabulary) = ${most.toFixed(3)} nats`}`,
        );
      }
    }
    return offered.join(', ');
  } finally {
    await engine.close();
  }
}

/** The call must fail with a word of the engine's own, not by a broken pipe. */
async function refuses(call: Promise<Engine | unknown>): Promise<string> {
  let message: string;
  try {
    const opened = await call;
    if (typeof opened === 'object' && opened !== null && 'close' in opened) await (opened as Engine).close();
    message = '';
  } catch (error) {
    message = firstLine(error);
    if ((error as { readonly code?: string }).code === 'engine-garbage') throw error;
  }
  if (message === '')
    throw new Error(
      'it took it without a word; expected an error on standard error and another exit code than 0',
    );
  return message;
}
