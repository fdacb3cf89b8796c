/** Changes of what a model folder is taken to be, and so of losses. */

import { type Config, isMissing, type ModelFacts, type RunFacts } from './facts.js';
import type { RuleChange, Verdict } from './rule-change.js';

type Look = (model: ModelFacts, run: RunFacts) => string | null;

/** A change of losses under each model that `look` has a clause for. */
function change(name: string, look: Look): RuleChange {
  return {
    name,
    date: '2026-11-30',
    stage: 'scoring',
    version: 2,
    touches(run): Verdict {
      const found = run.models.map(({ role, facts }) => ({
        role,
        missing: isMissing(facts) ? facts.missing : null,
        what: isMissing(facts) ? null : look(facts, run),
      }));
      const touches = found.flatMap(({ role, what }) =>
        what === null ? [] : [{ what: `${role} model: ${what}`, results: `${role}_loss, and weights by it` }],
      );
      const missing = found.find((one) => one.missing !== null)?.missing ?? null;
      return touches.length === 0 && missing !== null ? { unknown: missing } : touches;
    },
  };
}

/** What MistralConfig has where the key is absent; an explicit null is no window. */
const MISTRAL_WINDOW = 4096;

export const MODEL_CHANGES: readonly RuleChange[] = [
  change('default-window', ({ config }, { longestRow }) =>
    isClass(config, 'Mistral') && config['sliding_window'] === undefined && longestRow > MISTRAL_WINDOW
      ? `config.json names no sliding_window, and its default of ${MISTRAL_WINDOW} was not taken: losses of rows longer than that differ from transformers'`
      : null,
  ),
  change('rope-scaling-beside-parameters', ({ config }) => {
    const [parameters, scaling] = [config['rope_parameters'], config['rope_scaling']];
    if (!isRotary(config) || !isObject(parameters) || !isObject(scaling)) return null;
    if (Object.keys(scaling).length === 0 || isWithin(scaling, parameters)) return null;
    return "rope_scaling beside rope_parameters was not read: losses differ from transformers'";
  }),
  change('rope-by-layer-type', ({ config }) => {
    const parameters = config['rope_parameters'];
    if (!isRotary(config) || !isObject(parameters)) return null;
    const nested = ['full_attention', 'sliding_attention'].some((name) => isObject(parameters[name]));
    return nested ? "rope_parameters by layer type were not read: losses differ from transformers'" : null;
  }),
  change('original-positions-on-top', ({ config }) => {
    const top = config['original_max_position_embeddings'];
    const rope = ropeOf(config);
    const type = rope['rope_type'] ?? rope['type'];
    if (!isRotary(config) || typeof top !== 'number' || (type !== 'llama3' && type !== 'yarn')) return null;
    const taken = rope['original_max_position_embeddings'] ?? config['max_position_embeddings'];
    return top === taken
      ? null
      : `original_max_position_embeddings ${top} of config.json's top level was not read (${String(taken)} was taken): losses differ from transformers'`;
  }),
  change('own-head', ({ config, ownHead }) => {
    if (ownHead === null) return null;
    const [head, embedding] = ownHead;
    const tied = config['tie_word_embeddings'] ?? isClass(config, 'GPT2');
    if (tied !== true) {
      return isClass(config, 'GPT2')
        ? `${head} was not read, and ${embedding} taken in its place though tie_word_embeddings is false: losses differ from transformers'`
        : null;
    }
    return `${head} was not read, since tie_word_embeddings is true: it differs from ${embedding}, transformers takes it, and such a checkpoint is refused now`;
  }),
  change('adapter-beside-the-model', ({ adapter }) =>
    adapter
      ? 'adapter_config.json lies beside it, and the adapter was left out: transformers loads it'
      : null,
  ),
  change('quantised-weights', ({ config, tensors }) => {
    const scale = [...tensors].find((name) => SCALES.test(name));
    if (isObject(config['quantization_config'])) {
      return `quantization_config of config.json was not read, and weights were taken as they lie: losses differ from transformers'`;
    }
    return scale === undefined
      ? null
      : `weights were taken without their scales (${scale}): losses are not the model's`;
  }),
  change('dynamic-quantisation', ({ graph }) =>
    graph === null || graph.dynamic.length === 0
      ? null
      : `the export quantises as it runs (${graph.dynamic.join(', ')}): a row's losses depend on the rest of its batch`,
  ),
  change('rope-switch-of-an-export', ({ graph }) =>
    graph?.ropeSwitch === true
      ? "the export chooses its rotary frequencies by the longest row of a batch: a row's losses may depend on the others"
      : null,
  ),
];

/** Names that quantisers give what weights are to be multiplied by. */
const SCALES = /(?:_scale|_scale_inv|\.scales|\.qzeros|\.absmax|\.weight_scale_\d)$/;

const isObject = (value: unknown): value is Config =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const architectureOf = ({ architectures }: Config): string =>
  Array.isArray(architectures) && typeof architectures[0] === 'string' ? architectures[0] : '';

const isClass = (config: Config, name: string): boolean => architectureOf(config).startsWith(name);

const isRotary = (config: Config): boolean =>
  /^(?:Llama|Mistral|Qwen2|Qwen3|GPTNeoX)/.test(architectureOf(config));

/** What the rules of version 1 took for the rotary settings. */
function ropeOf(config: Config): Config {
  const taken = config['rope_parameters'] ?? config['rope_scaling'];
  return isObject(taken) ? taken : {};
}

/** Whether every setting of `inner` has the same value in `outer`. */
const isWithin = (inner: Config, outer: Config): boolean =>
  Object.entries(inner).every(([key, value]) => {
    const other = outer[key] ?? (key === 'type' ? outer['rope_type'] : undefined);
    return JSON.stringify(other) === JSON.stringify(value);
  });
