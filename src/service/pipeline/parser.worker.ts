import { parentPort } from 'node:worker_threads';
import { parsePipelineText } from '../../config/load.js';
import { firstLine, TokensieveError, usageError } from '../../errors.js';
import type { ParseReply, ParseRequest } from './parser.js';

/** Settings, lists' entries included; schemas judge each of them on the event loop. */
const MAX_VALUES = 100_000;
/** Names of settings: a pipeline has some hundreds. */
const MAX_KEYS = 10_000;

if (parentPort === null) throw new Error('parser.worker must run in a worker thread');
const port = parentPort;

port.on('message', ({ id, text }: ParseRequest & { readonly id: number }) => {
  port.postMessage(answer(id, text));
});
port.postMessage({ id: null, kind: 'ready' });

function answer(id: number, text: string): ParseReply {
  try {
    const settings = parsePipelineText(text, 'pipeline');
    const { values, keys } = sizeOf(settings);
    if (values > MAX_VALUES || keys > MAX_KEYS) {
      throw usageError(
        'pipeline-unreadable',
        `pipeline: has ${keys} names and ${values} values, more than any pipeline`,
      );
    }
    return { id, kind: 'settings', settings };
  } catch (error) {
    const { reach, code, message } =
      error instanceof TokensieveError
        ? error
        : { reach: 'usage' as const, code: 'pipeline-unreadable', message: `pipeline: ${firstLine(error)}` };
    return { id, kind: 'refused', reach, code, message };
  }
}

function sizeOf(settings: object): { readonly values: number; readonly keys: number } {
  let values = 0;
  let keys = 0;
  const pending: object[] = [settings];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const inner = Object.values(at);
    values += inner.length;
    if (!Array.isArray(at)) keys += inner.length;
    if (values > MAX_VALUES || keys > MAX_KEYS) break;
    for (const value of inner) if (typeof value === 'object' && value !== null) pending.push(value);
  }
  return { values, keys };
}
