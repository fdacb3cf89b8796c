/** Reads and weighs parts for another thread: see `weigher-thread.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { firstLine, TokensieveError } from '../errors.js';
import type { StagedOutput } from '../parts/commit-part.js';
import { routedStorage } from '../storage/routed.js';
import { loadMethod } from './load.js';
import { createSelection } from './selection.js';
import { localWeigher } from './weigher.js';
import type { ThreadData, ThreadNote, ThreadReply, ThreadRequest } from './weigher-thread.js';

const { settings, rules, storage } = workerData as ThreadData;
const { method } = await loadMethod(settings.method);
const weigher = localWeigher(createSelection(settings, method), rules, routedStorage(storage));
// Of what is at work: what comes after a stop is another's.
let stopping = new AbortController();
const staged = new Map<number, StagedOutput>();
let files = 0;

const answer = (reply: ThreadReply | ThreadNote): void => parentPort?.postMessage(reply);

async function perform(request: ThreadRequest, id: number): Promise<ThreadReply> {
  switch (request.kind) {
    case 'read':
      return { id, kind: 'read', reading: await weigher.read(request.part, request.step, stopping.signal) };
    case 'weigh': {
      const { part, fingerprint, prepared } = request;
      const tell = (tokens: number): void => answer({ kind: 'note', tokens });
      const { file, ...weighed } = await weigher.weigh(part, fingerprint, prepared, {
        signal: stopping.signal,
        tell,
      });
      staged.set(++files, file);
      return { id, kind: 'weighed', ...weighed, file: files };
    }
    case 'stop':
      stopping.abort();
      stopping = new AbortController();
      return { id, kind: 'done' };
    case 'commit':
    case 'abort': {
      const file = staged.get(request.file);
      await file?.[request.kind]();
      if (request.kind === 'abort') staged.delete(request.file);
      return { id, kind: 'done' };
    }
  }
}

parentPort?.on('message', (request: ThreadRequest & { readonly id: number }) => {
  const { id } = request;
  perform(request, id).then(answer, (error: unknown) => {
    const [reach, code] =
      error instanceof TokensieveError ? [error.reach, error.code] : (['fatal', 'io'] as const);
    answer({
      id,
      kind: 'refused',
      reach,
      code,
      message: error instanceof Error ? error.message : firstLine(error),
    });
  });
});
answer({ id: null, kind: 'ready' });
