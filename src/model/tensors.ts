/**
 * Which tensor is which parameter, and what becomes of the rest: every tensor of the files is a parameter, or a copy of one, or
 * a buffer that nothing reads back, or named as unused, or refused.
 */
import { fatalError, type TokensieveError } from '../errors.js';
import type { Decoder } from './decoder.js';
import { visitParameters } from './decoder-parameters.js';
import { refuseQuantisedTensors } from './quantisation.js';
import type { TensorEntry } from './safetensors.js';
import { sameNumbers } from './tensor-equality.js';
import { isAdapterTensor, isBuffer, namesInFiles } from './tensor-names.js';
import { checkTensor } from './weights.js';

/** What became of the tensors that are no parameter, by their names in the files. */
export interface OtherTensors {
  /** No part of the model that config.json describes; transformers reports them as UNEXPECTED. */
  readonly unused: readonly string[];
  /** Masks and rotary frequencies that older versions saved. */
  readonly buffers: readonly string[];
  /** Second copies of a parameter, with the same numbers. */
  readonly copies: readonly string[];
}

export interface AssignedTensors {
  /** By the decoder's names for its parameters. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly others: OtherTensors;
}

/**
 * Gives each parameter of the decoder its tensor, checked for shape and type.
 * @param found by their names in the files
 * @throws fatal `missing-tensor`, `wrong-shape`, `unknown-weight-type`, `duplicate-tensor`, `tied-head-differs`,
 *   `quantised-checkpoint`, `unmerged-adapter`
 */
export async function assignTensors(
  folder: string,
  decoder: Decoder,
  found: ReadonlyMap<string, TensorEntry>,
): Promise<AssignedTensors> {
  // What the files are comes before what they lack: weights of quantised and adapted models go by other names.
  refuseQuantisedTensors(folder, [...found.values()]);
  refuseAdapterTensors(folder, found.keys());
  const candidates = (parameter: string): TensorEntry[] =>
    namesInFiles(decoder.names, parameter).flatMap((name) => found.get(name) ?? []);
  const { names, tied } = decoder;
  const heads = candidates(names.head);

  const places = new Map<string, readonly TensorEntry[]>();
  visitParameters(decoder, ({ name, shape }) => {
    if (places.has(name)) return;
    const own = candidates(name);
    // A tied head may be the only one of the two that was saved.
    const entries = tied && name === names.embedding && own.length === 0 ? heads : own;
    // The first that is missing ends the visit, however many layers a configuration claims.
    if (entries.length === 0) throw missing(folder, decoder, name, shape, found);
    for (const entry of entries) checkTensor(entry, name, shape);
    places.set(name, entries);
  });

  if (tied) await checkTie(folder, places.get(names.embedding) ?? [], heads);
  const copies: string[] = [];
  const taken = new Set(heads);
  for (const [first, ...rest] of [...places.values(), tied ? heads : []]) {
    if (first === undefined) continue;
    taken.add(first);
    for (const copy of rest) {
      if (!(await sameNumbers(first, copy))) throw twice(folder, first, copy);
      taken.add(copy);
      copies.push(copy.name);
    }
  }
  const [tiedHead] = heads;
  if (tied && tiedHead !== undefined && places.get(names.embedding)?.[0] !== tiedHead)
    copies.push(tiedHead.name);

  const rest = [...found.values()].filter((entry) => !taken.has(entry));
  const buffers = rest.filter(({ name, shape }) => isBuffer(name, shape));
  const unused = rest.filter(({ name, shape }) => !isBuffer(name, shape));
  const tensors = new Map([...places].flatMap(([name, [entry]]) => (entry ? [[name, entry]] : [])));
  return { tensors, others: { copies, buffers: namesOf(buffers), unused: namesOf(unused) } };
}

const namesOf = (entries: readonly TensorEntry[]): string[] => entries.map(({ name }) => name);

/** Tied in the configuration, two matrices in the files: transformers uses both, vLLM the embedding alone. */
async function checkTie(
  folder: string,
  [embedding]: readonly TensorEntry[],
  [head]: readonly TensorEntry[],
): Promise<void> {
  if (embedding === undefined || head === undefined || embedding === head) return;
  if (await sameNumbers(embedding, head)) return;
  throw fatalError(
    'tied-head-differs',
    `${folder}: config.json ties the head to the embedding (tie_word_embeddings true, or its family's default), but the files hold ${head.name} and ${embedding.name} with different numbers, and which one is the head cannot be told: ` +
      `remove ${head.name} from the files if the embedding is the head, or set "tie_word_embeddings": false in config.json if ${head.name} is`,
  );
}

const twice = (folder: string, first: TensorEntry, second: TensorEntry): TokensieveError =>
  fatalError(
    'duplicate-tensor',
    `${folder}: holds ${first.name} and ${second.name}, two names of one parameter, with different numbers; which one is meant cannot be told: remove the one that is not`,
  );

function missing(
  folder: string,
  { names }: Decoder,
  name: string,
  shape: readonly number[],
  found: ReadonlyMap<string, TensorEntry>,
): TokensieveError {
  const expected = `tensor ${name} is missing from the checkpoint; expected it with shape [${shape}]`;
  // torch.compile and DistributedDataParallel put a module of their own before every name.
  const like = [...found.keys()].find((key) => key.endsWith(`.${name}`));
  if (like !== undefined) {
    const put = like.slice(0, -name.length);
    return fatalError(
      'missing-tensor',
      `${folder}: ${expected}, and ${like} is there: take ${JSON.stringify(put)} away from the names and save the checkpoint again`,
    );
  }
  if (name !== names.head) {
    return fatalError(
      'missing-tensor',
      `${folder}: ${expected}: fetch the whole checkpoint, or check that config.json belongs to it`,
    );
  }
  const other = [...found.keys()].find((key) =>
    /^(score|classifier|qa_outputs|v_head|value_head|reward_head|regression_head)\./.test(key),
  );
  if (other !== undefined) {
    return fatalError(
      'missing-tensor',
      `${folder}: ${expected}, and ${other} is there, the head of a classifier or of a reward model, which gives a text no likelihood: name the language model that it was made from`,
    );
  }
  return fatalError(
    'missing-tensor',
    `${folder}: ${expected}, since config.json does not tie the head to ${names.embedding} (tie_word_embeddings false, or its family's default), and transformers would draw it at random: fetch the whole checkpoint, or set "tie_word_embeddings": true in config.json if the embedding is the head`,
  );
}

/** @throws fatal `unmerged-adapter` */
function refuseAdapterTensors(folder: string, names: Iterable<string>): void {
  for (const name of names) {
    if (!isAdapterTensor(name)) continue;
    throw fatalError(
      'unmerged-adapter',
      `${folder}: holds ${name}, a tensor of a PEFT adapter that is not merged into the weights; expected plain weights: merge it (peft's merge_and_unload, then save_pretrained)`,
    );
  }
}

/** Names that a warning shows before it counts. */
const NAMED = 3;

/** One line for the log, or none. */
export function unusedWarning(folder: string, { unused }: OtherTensors): string[] {
  if (unused.length === 0) return [];
  const more = unused.length > NAMED ? ` and ${unused.length - NAMED} more` : '';
  return [
    `${folder}: ${unused.length} tensor(s) of its files are not used, since config.json describes a model without them: ${unused.slice(0, NAMED).join(', ')}${more}; transformers does not use them either (tokensieve model info --json lists them all)`,
  ];
}
