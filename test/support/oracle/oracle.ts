import type { Checkpoint } from './checkpoint.js';
import { gpt2, gptNeoX } from './gpt.js';
import { linear, type Row } from './layers.js';
import { type Forward, llama } from './llama.js';

/** [T − 1] each, in nats: of token t + 1 and of the distribution that predicts it. NaN where there is no context. */
export interface TokenLosses {
  readonly loss: Float64Array;
  readonly entropy: Float64Array;
}

const MODELS: Readonly<Record<string, (checkpoint: Checkpoint, ids: readonly number[]) => Forward>> = {
  LlamaForCausalLM: llama,
  MistralForCausalLM: llama,
  Qwen2ForCausalLM: llama,
  Qwen3ForCausalLM: llama,
  GPTNeoXForCausalLM: gptNeoX,
  GPT2LMHeadModel: gpt2,
};

/** Losses of a row whose documents see each other (`across`). */
export function lossesAcross(checkpoint: Checkpoint, ids: readonly number[]): TokenLosses {
  const model = MODELS[checkpoint.config.architecture];
  if (model === undefined) throw new Error(`architecture ${checkpoint.config.architecture}`);
  const { states, head } = model(checkpoint, ids);
  const tokens = ids.slice(1).map((id, t) => tokenLoss(linear(states[t]!, head), id));
  return {
    loss: Float64Array.from(tokens, (token) => token.loss),
    entropy: Float64Array.from(tokens, (token) => token.entropy),
  };
}

/** Losses of a row whose documents, of these lengths, do not see each other (`within`): each is run alone. */
export function lossesWithin(
  checkpoint: Checkpoint,
  ids: readonly number[],
  lengths: readonly number[],
): TokenLosses {
  const loss = new Float64Array(ids.length - 1).fill(Number.NaN);
  const entropy = new Float64Array(ids.length - 1).fill(Number.NaN);
  let start = 0;
  for (const length of lengths) {
    const own = lossesAcross(checkpoint, ids.slice(start, start + length));
    loss.set(own.loss, start);
    entropy.set(own.entropy, start);
    start += length;
  }
  return { loss, entropy };
}

export function tokenLoss(logits: Row, id: number): { loss: number; entropy: number } {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) max = Math.max(max, logits[i]!);
  let sum = 0;
  let weighted = 0;
  for (let i = 0; i < logits.length; i++) {
    const share = Math.exp(logits[i]! - max);
    sum += share;
    weighted += share * logits[i]!;
  }
  const logSum = max + Math.log(sum);
  // H = −Σ p ln p = ln Z − Σ p · logit.
  return { loss: logSum - logits[id]!, entropy: logSum - weighted / sum };
}
