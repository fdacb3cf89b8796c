import { isRecord } from './companions.js';
import type { Definition } from './definition.js';

/** What a tokenizer's own encoding puts around a text, as ids. */
export interface EncodingTemplate {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const NOTHING: EncodingTemplate = { before: [], after: [] };

/**
 * What the post-processor of a tokenizer.json adds to a single text: the special tokens of a template, or the pair of
 * `RobertaProcessing` and `BertProcessing`. Null for one that is not understood.
 */
export function templateOf({ postProcessor, addedTokens, model }: Definition): EncodingTemplate | null {
  const idOf = (content: unknown): number | null =>
    typeof content === 'string'
      ? (addedTokens.find((token) => token.content === content)?.id ?? model.vocab.get(content) ?? null)
      : null;
  return read(postProcessor, idOf);
}

type IdOf = (content: unknown) => number | null;

function read(processor: unknown, idOf: IdOf): EncodingTemplate | null {
  if (processor === null || processor === undefined) return NOTHING;
  if (!isRecord(processor)) return null;
  switch (processor['type']) {
    case 'ByteLevel':
      return NOTHING;
    case 'Sequence': {
      const steps = processor['processors'];
      if (!Array.isArray(steps)) return null;
      let all = NOTHING;
      for (const step of steps) {
        const one = read(step, idOf);
        if (one === null) return null;
        all = { before: [...one.before, ...all.before], after: [...all.after, ...one.after] };
      }
      return all;
    }
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const [start, end] = [pairId(processor['cls']), pairId(processor['sep'])];
      return start === null || end === null ? null : { before: [start], after: [end] };
    }
    case 'TemplateProcessing':
      return readTemplate(processor, idOf);
    default:
      return null;
  }
}

const pairId = (pair: unknown): number | null =>
  Array.isArray(pair) && typeof pair[1] === 'number' ? pair[1] : null;

function readTemplate(processor: Readonly<Record<string, unknown>>, idOf: IdOf): EncodingTemplate | null {
  const { single, special_tokens: specials } = processor;
  if (!Array.isArray(single)) return null;
  const before: number[] = [];
  const after: number[] = [];
  let seen = false;
  for (const part of single) {
    const token = isRecord(part) ? part['SpecialToken'] : null;
    if (!isRecord(token)) {
      if (seen || !isRecord(part) || !isRecord(part['Sequence'])) return null;
      seen = true;
      continue;
    }
    const known = isRecord(specials) ? specials[String(token['id'])] : null;
    const ids: unknown = isRecord(known) && Array.isArray(known['ids']) ? known['ids'] : [idOf(token['id'])];
    if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'number')) return null;
    (seen ? after : before).push(...ids);
  }
  return seen ? { before, after } : null;
}
