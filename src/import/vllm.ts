/**
 * vLLM's `prompt_logprobs`: a list with an entry a prompt token, null for the first and then an object of token id →
 * {logprob, rank, decoded_token} that holds the prompt's own token and, where more than one was asked for, the likeliest
 * others (vllm-project/vllm: vllm/logprobs.py, vllm/outputs.py, vllm/entrypoints/openai/completion/protocol.py).
 */
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { badSource, checkLength, idsOf, type LossRecord, shown } from './record.js';

/** vLLM's server writes this for a log-probability of minus infinity, which JSON cannot. */
const MINUS_INFINITY = -9999;

/** Whether a parsed object is of one of the forms that hold prompt logprobs. */
export const isVllm = (value: JsonObject): boolean => bodiesOf(value) !== null;

/**
 * The objects that hold `prompt_logprobs` themselves: a RequestOutput or a chat completion; the choices of a completion; the
 * same within a line of a batch's output (`response.body`). Null for any other object.
 */
function bodiesOf(value: JsonObject): readonly unknown[] | null {
  const response = value['response'];
  if (isJsonObject(response) && isJsonObject(response['body'])) return bodiesOf(response['body']);
  if (Object.hasOwn(value, 'prompt_logprobs') && !Array.isArray(value['choices'])) return [value];
  const choices = value['choices'];
  if (!Array.isArray(choices)) return null;
  return Object.hasOwn(value, 'prompt_logprobs') && value['prompt_logprobs'] !== null ? [value] : choices;
}

/**
 * The records of one response, in the order of its prompts.
 * @param scale from a log-probability to nats of loss: −1
 * @throws TokensieveError (input) `bad-source`
 */
export function vllmRecords(value: JsonObject, place: string, scale: number): LossRecord[] {
  const bodies = [...(bodiesOf(value) ?? [])];
  const indexOf = (body: unknown): number =>
    isJsonObject(body) && typeof body['index'] === 'number' ? body['index'] : 0;
  if (bodies.length > 1) bodies.sort((a, b) => indexOf(a) - indexOf(b));
  return bodies.map((body, i) =>
    recordOfBody(body, bodies.length > 1 ? `${place}, choice ${i}` : place, scale),
  );
}

function recordOfBody(body: unknown, place: string, scale: number): LossRecord {
  if (!isJsonObject(body)) throw badSource(place, `a choice is ${shown(body)}; expected an object`);
  const entries = body['prompt_logprobs'];
  if (!Array.isArray(entries)) {
    throw badSource(
      place,
      `prompt_logprobs is ${shown(entries)}; ask vLLM for them ("prompt_logprobs": 0 with the request)`,
    );
  }
  checkLength(entries.length, place);
  const given = body['prompt_token_ids'];
  const prompt = Array.isArray(given) ? idsOf(given, place) : null;
  if (prompt !== null && prompt.length !== entries.length) {
    throw badSource(
      place,
      `${prompt.length} prompt_token_ids and ${entries.length} prompt_logprobs; expected as many`,
    );
  }
  const ids = prompt ?? new Int32Array(entries.length);
  const losses = new Float64Array(entries.length).fill(Number.NaN);
  for (const [position, entry] of entries.entries()) {
    if (entry === null) {
      if (prompt === null) ids[position] = UNKNOWN_ID;
      continue;
    }
    if (!isJsonObject(entry))
      throw badSource(place, `position ${position}: ${shown(entry)}; expected an object or null`);
    const id = prompt === null ? onlyId(entry, place, position) : (prompt[position] ?? 0);
    ids[position] = id;
    const found = entry[String(id)];
    if (found === undefined) {
      throw badSource(
        place,
        `position ${position}: the prompt has id ${id}, prompt_logprobs has ${Object.keys(entry).slice(0, 4).join(', ') || 'none'} there`,
      );
    }
    losses[position] = logprobOf(found, place, position) * scale;
  }
  return { place, ids, losses };
}

/** A position of which the source says nothing: it is not compared. */
export const UNKNOWN_ID = -1;

/** The order of an object's whole-number keys is lost in JSON, so that only a lone one is known to be the prompt's. */
function onlyId(entry: JsonObject, place: string, position: number): number {
  const keys = Object.keys(entry);
  const [key = ''] = keys;
  if (keys.length !== 1) {
    throw badSource(
      place,
      `position ${position}: ${keys.length} tokens, and no prompt_token_ids to say which is the prompt's; ask vLLM for "return_token_ids": true, or for "prompt_logprobs": 0`,
    );
  }
  if (!/^\d{1,10}$/.test(key)) throw badSource(place, `position ${position}: ${shown(key)} is no token id`);
  return idsOf([Number(key)], place)[0] ?? 0;
}

function logprobOf(found: unknown, place: string, position: number): number {
  const logprob = isJsonObject(found) ? found['logprob'] : found;
  if (logprob === null || logprob === '-Infinity') return Number.NEGATIVE_INFINITY;
  if (typeof logprob !== 'number') {
    throw badSource(place, `position ${position}: its logprob is ${shown(logprob)}; expected a number`);
  }
  return logprob <= MINUS_INFINITY ? Number.NEGATIVE_INFINITY : logprob;
}
