import { hashJson } from '../json/canonical-json.js';
import { type ControlTokens, isUnreachable, type Prepared } from './control-tokens.js';
import type { Component, Model } from './definition.js';

/**
 * sha256, in hex, of what decides the ids of a text. Two files that tokenize alike but differ in white space, key
 * order, spelled-out defaults or the way merges are written hash alike; so do a base model's tokenizer and its chat
 * model's where only control tokens differ, as long as these are text.
 */
export function hashPrepared({ definition }: Prepared, controlTokens: ControlTokens): string {
  const { normalizer, preTokenizer, model, addedTokens } = definition;
  const meaning = {
    format: 1,
    controlTokens,
    normalizer: canonicalComponent(normalizer),
    preTokenizer: canonicalComponent(preTokenizer),
    addedTokens: addedTokens.filter(({ content }) => !isUnreachable(content)).sort((a, b) => a.id - b.id),
    model: canonicalModel(model),
  };
  return hashJson(meaning);
}

function canonicalModel(model: Model): unknown {
  const { type, ...rest } = model;
  const vocab = [...model.vocab].sort(([, a], [, b]) => a - b);
  // Hashes of before there was another type stay as they were.
  return type === 'BPE' ? { ...rest, vocab } : { ...model, vocab };
}

/** Newer files spell out ByteLevel's `use_regex`; `trim_offsets` concerns offsets that are not used here. */
function canonicalComponent(component: Component | null): unknown {
  if (component === null) return null;
  if (component.type === 'ByteLevel') {
    const { trim_offsets: _, ...settings } = component;
    return { add_prefix_space: true, use_regex: true, ...settings };
  }
  const canonicalMembers = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(canonicalComponent) : value;
  return component.type === 'Sequence'
    ? Object.fromEntries(Object.entries(component).map(([key, value]) => [key, canonicalMembers(value)]))
    : component;
}
