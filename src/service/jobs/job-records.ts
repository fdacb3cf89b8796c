import { ServiceError } from '../service-error.js';
import { type JobAction, nextState } from './lifecycle.js';
import { inState, type JobRecord } from './record.js';
import type { JobStore } from './store.js';

/** Called after every change of a job and whenever its log grows. */
export type Listener = () => void;

/** All jobs of a service as their files say, and who watches them. Changes are to be made one at a time. */
export interface JobRecords {
  /** How many there are. */
  count(): number;
  /** All of them, the newest first. */
  list(): readonly JobRecord[];
  /** @throws ServiceError `no-such-job` */
  get(id: string): JobRecord;
  /** A new job, its folder too. */
  create(record: JobRecord, pipeline: string): Promise<void>;
  /** Replaces a job's record, durably. */
  keep(record: JobRecord): Promise<JobRecord>;
  /** @throws ServiceError `no-such-job`; `wrong-state` where the job's state does not allow the action */
  change(id: string, action: JobAction, patch?: Partial<JobRecord>): Promise<JobRecord>;
  /** With everything in its folder. */
  remove(id: string): Promise<void>;
  /** Calls those who watch a job. */
  tell(id: string): void;
  /** @returns what ends the watching */
  watch(id: string, listener: Listener): () => void;
}

export function openRecords(store: JobStore, found: readonly JobRecord[]): JobRecords {
  const records = new Map(found.map((record) => [record.id, record]));
  const listeners = new Map<string, Set<Listener>>();

  const tell = (id: string): void => {
    for (const listener of listeners.get(id) ?? []) listener();
  };
  const get = (id: string): JobRecord => {
    const record = records.get(id);
    if (record !== undefined) return record;
    throw new ServiceError(404, 'no-such-job', `${id}: no such job`);
  };
  const keep = async (record: JobRecord): Promise<JobRecord> => {
    await store.save(record);
    records.set(record.id, record);
    tell(record.id);
    return record;
  };

  return {
    count: () => records.size,
    list: () => [...records.values()].sort((a, b) => (a.id < b.id ? 1 : -1)),
    get,
    async create(record, pipeline) {
      await store.create(record, pipeline);
      records.set(record.id, record);
    },
    keep,
    async change(id, action, patch = {}) {
      const record = get(id);
      const state = nextState(record.state, action);
      if (state === null) {
        throw new ServiceError(409, 'wrong-state', `${id}: is ${record.state}; cannot ${action.kind} it`);
      }
      const front = action.kind === 'hand-back';
      return keep(inState({ ...record, ...patch }, state, new Date().toISOString(), front));
    },
    async remove(id) {
      await store.remove(id);
      records.delete(id);
      tell(id);
    },
    tell,
    watch(id, listener) {
      const all = listeners.get(id) ?? new Set<Listener>();
      listeners.set(id, all.add(listener));
      return () => {
        all.delete(listener);
        if (all.size === 0) listeners.delete(id);
      };
    },
  };
}
