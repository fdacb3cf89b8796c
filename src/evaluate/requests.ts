/** Requests in lm-evaluation-harness's forms, from JSON lines. */
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';

/** What is asked of a model: ln p(continuation | context), or of a whole text (`loglikelihood_rolling`). */
export type Request =
  | { readonly kind: 'pair'; readonly context: string; readonly continuation: string }
  | { readonly kind: 'text'; readonly text: string };

/** The requests of one line, with what of it goes into the answers. */
export interface RequestLine {
  readonly requests: readonly Request[];
  /** `id`, `doc_id` and `idx`, where the line has them. */
  readonly names: JsonObject;
}

const NAMES = ['id', 'doc_id', 'idx'] as const;

/**
 * The requests in a line: `{"context", "continuation"}`; `{"text"}`; `{"arguments"}` as an Instance of the harness has them
 * (`[context, continuation]`, or `[text]`) or as its logged samples do (a list of such, or `{"gen_args_0": {"arg_0", "arg_1"}}`).
 * @returns or one line that says what is wrong
 */
export function requestsOf(value: unknown): RequestLine | string {
  if (!isJsonObject(value)) return 'the line is no object';
  const names = Object.fromEntries(
    NAMES.flatMap((name) => (isName(value[name]) ? [[name, value[name]]] : [])),
  );
  if (Object.hasOwn(value, 'arguments')) {
    const requests = ofArguments(value['arguments']);
    return typeof requests === 'string' ? requests : { requests, names };
  }
  if (Object.hasOwn(value, 'text')) {
    const { text } = value;
    return typeof text === 'string'
      ? { requests: [{ kind: 'text', text }], names }
      : 'text: expected a string';
  }
  const request = ofStrings([value['context'], value['continuation']]);
  return request === null
    ? 'expected {"context", "continuation"}, {"text"} or {"arguments"}, with strings'
    : { requests: [request], names };
}

const isName = (value: unknown): value is string | number =>
  typeof value === 'number' || (typeof value === 'string' && value.length <= 256);

function ofArguments(given: unknown): readonly Request[] | string {
  const lists = isJsonObject(given)
    ? Object.entries(given)
        .filter(([name]) => /^gen_args_\d{1,9}$/.test(name))
        .sort(([a], [b]) => Number(a.slice(9)) - Number(b.slice(9)))
        .map(([, args]) =>
          isJsonObject(args)
            ? [args['arg_0'], args['arg_1']].slice(0, Object.hasOwn(args, 'arg_1') ? 2 : 1)
            : args,
        )
    : Array.isArray(given) && given.every((one) => typeof one === 'string')
      ? [given]
      : given;
  if (!Array.isArray(lists) || lists.length === 0)
    return 'arguments: expected [context, continuation], [text], or a list of such';
  const requests: Request[] = [];
  for (const [index, list] of lists.entries()) {
    const request = Array.isArray(list) ? ofStrings(list) : null;
    if (request === null)
      return `arguments ${index}: expected [context, continuation] or [text], with strings`;
    requests.push(request);
  }
  return requests;
}

function ofStrings(list: readonly unknown[]): Request | null {
  const [first, second] = list;
  if (typeof first !== 'string') return null;
  if (list.length === 1) return { kind: 'text', text: first };
  return list.length === 2 && typeof second === 'string'
    ? { kind: 'pair', context: first, continuation: second }
    : null;
}
