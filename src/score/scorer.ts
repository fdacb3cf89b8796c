import { fatalError } from '../errors.js';
import type { Device, PreparedModel } from '../model/prepared-model.js';
import type { Sequence } from '../sequence/sequence.js';
import type { Batch } from './batches.js';
import { type EngineModel, isEngineModel } from './engine-models.js';
import { openEngineSession } from './engine-session.js';
import type { ModelRole, RoleSession } from './role.js';
import { type BatchLosses, openSession } from './session.js';

/** What one model says of one sequence: [length] each, nats, NaN where the token is not a target. */
export interface TokenLosses {
  readonly loss: Float32Array;
  readonly entropy?: Float32Array;
  /** 1 where a target is the likeliest token, else 0. */
  readonly greedy?: Float32Array;
}

export interface ScoredSequence {
  readonly sequence: Sequence;
  readonly reference?: TokenLosses;
  readonly current?: TokenLosses;
}

/** The models of a run, each in a thread of its own. Both always run: two copies of one model are two models. */
export interface Scorer {
  /** Scores one batch under every model. The result has one entry for each of the batch's sequences. */
  score(batch: Batch): Promise<ScoredSequence[]>;
  close(): Promise<void>;
}

/** A model to be asked: in this package's own runtime, or in an engine's process. */
export type ScoringModel = PreparedModel | EngineModel;

export interface ScorerSettings {
  readonly models: Readonly<Partial<Record<ModelRole, ScoringModel>>>;
  readonly device: Device;
  /** Threads within an operator, for each model's session. */
  readonly threads: number;
  /** The card, for CUDA; default the first. */
  readonly card?: number;
  /** One model at a time instead of both at once. */
  readonly inTurns?: boolean;
}

/** Opens a session for each model, or one for all models of an engine. They load at the same time; if one fails, none is left open. */
export async function openScorer(settings: ScorerSettings): Promise<Scorer> {
  const settled = await Promise.allSettled(openings(settings));
  const sessions = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const close = async (): Promise<void> => {
    await Promise.all(sessions.map((session) => session.close()));
  };
  const failed = settled.find((result) => result.status === 'rejected');
  if (failed) {
    await close();
    throw failed.reason;
  }
  let turn: Promise<unknown> = Promise.resolve();
  /** Calls of both models one after the other, in the order they were asked for. */
  const waiting: RoleSession['score'] = (batch) => {
    const calls = sessions.map((session) => {
      if (settings.inTurns !== true) return session.score(batch);
      const call = turn.then(() => session.score(batch));
      turn = call.catch(() => undefined);
      return call;
    });
    return Promise.all(calls).then((found) => Object.assign({}, ...found));
  };

  return {
    close,
    async score(batch) {
      const { reference, current } = await waiting(batch);
      return batch.sequences.map((sequence, row) => ({
        sequence,
        ...(reference && { reference: lossesOfRow(batch, row, sequence, reference, 'reference') }),
        ...(current && { current: lossesOfRow(batch, row, sequence, current, 'current') }),
      }));
    },
  };
}

function openings({ models, device, threads, card = 0 }: ScorerSettings): Promise<RoleSession>[] {
  const opening: Promise<RoleSession>[] = [];
  const uses = new Set<object>();
  for (const role of ['reference', 'current'] as const) {
    const model = models[role];
    if (model === undefined) continue;
    if (!isEngineModel(model)) opening.push(openOne(role, model, { device, threads, card }));
    else if (!uses.has(model.use)) {
      uses.add(model.use);
      opening.push(openEngineSession(model.use, { threads, card }));
    }
  }
  return opening;
}

async function openOne(
  role: ModelRole,
  model: PreparedModel,
  place: { readonly device: Device; readonly threads: number; readonly card: number },
): Promise<RoleSession> {
  const session = await openSession(model, { ...place, role: `${role} model` });
  return {
    score: async (batch) => ({ [role]: await session.score(batch) }),
    close: () => session.close(),
  };
}

/** A sequence without a target: no model is asked. */
export function unscored(sequence: Sequence, roles: readonly ModelRole[], entropy: boolean): ScoredSequence {
  const nothing = (): TokenLosses => {
    const empty = new Float32Array(sequence.ids.length).fill(Number.NaN);
    return entropy ? { loss: empty, entropy: empty } : { loss: empty };
  };
  return {
    sequence,
    ...(roles.includes('reference') && { reference: nothing() }),
    ...(roles.includes('current') && { current: nothing() }),
  };
}

/** What one model said of one row of a batch, checked: a target without a finite loss is an error. */
export function lossesOfRow(
  batch: Batch,
  row: number,
  sequence: Sequence,
  losses: BatchLosses,
  role: ModelRole,
): TokenLosses {
  const from = row * (batch.length - 1);
  const pick = (values: Float32Array, what: string): Float32Array => {
    const picked = new Float32Array(sequence.ids.length).fill(Number.NaN);
    for (let i = 1; i < picked.length; i++) {
      if (sequence.eligible[i] === 0) continue;
      const value = values[from + i - 1] ?? Number.NaN;
      if (!Number.isFinite(value)) throw notFinite(sequence, i, value, `${role} ${what}`);
      picked[i] = value;
    }
    return picked;
  };
  const loss = pick(losses.loss, 'loss');
  return {
    loss,
    ...(losses.entropy && { entropy: pick(losses.entropy, 'entropy') }),
    ...(losses.greedy && { greedy: pick(losses.greedy, 'likeliest token') }),
  };
}

function notFinite(sequence: Sequence, position: number, value: number, what: string): Error {
  const segment = sequence.segments.find((s) => position < s.tokenStart + s.tokenCount);
  return fatalError(
    'loss-not-finite',
    `sequence ${sequence.id}, position ${position} (document row ${segment?.document ?? '?'}, token id ${sequence.ids[position]}): ` +
      `the ${what} is ${value}, expected a finite number of nats; the checkpoint is damaged or its precision overflows`,
  );
}
