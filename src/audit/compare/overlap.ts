import { expandShards } from '../../corpus/expand.js';
import { planShard, readShard } from '../../corpus/read-shard.js';
import { corpusSettings } from '../../corpus/settings.js';
import type { ReadOptions, Shard } from '../../corpus/shard.js';
import { fatalError, usageError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import { BYTES_A_SLOT, createHashSet, type HashSet, slotsFor } from './hash-set.js';
import type { Overlap } from './overlap-report.js';
import { createNgrams, type Ngrams, WORD_RULES, type WordRule } from './words.js';

/** Most different n-grams of the evaluation data: the set then takes 9 bytes · 2^24 slots = 151 MB. */
export const MOST_NGRAMS = 12_582_912;
/** Reference shards that are named in the report. */
const MOST_NAMED = 100;

/** Documents by the shards that hold them. */
export interface TextSource {
  /** Files, folders or globs of shards. */
  readonly patterns: readonly string[];
  /** Column of the text; `text` unless given. */
  readonly text?: string;
}

export interface OverlapSources {
  readonly evaluation: readonly (TextSource & { readonly name: string })[];
  readonly reference: TextSource;
}

export interface OverlapOptions {
  /** Words in a run, 13 unless given. */
  readonly n?: number;
  /** `normalised` unless given. */
  readonly words?: WordRule;
  /** Most different n-grams of the evaluation data. */
  readonly maximum?: number;
  readonly signal?: AbortSignal;
}

/**
 * How much of evaluation data a reference corpus contains, word n-gram by word n-gram: a place in an evaluation
 * document at which n words follow each other counts as found when the same n words follow each other anywhere in the
 * reference data. N-grams never cross documents.
 *
 * The evaluation's different n-grams are held as 64-bit hashes in a bounded set and the reference is streamed, so
 * memory does not depend on its size; the evaluation data is read twice. Two different n-grams count as one with a
 * chance of about (reference words · different n-grams) / 2^64.
 * @throws TokensieveError (usage) `bad-ngram`, `no-text`, `too-many-ngrams`, and as `expandShards` throws; a shard that
 *   cannot be read ends the call, for what it holds would be missing from the shares
 */
export async function ngramOverlap(
  storage: Storage,
  { evaluation, reference }: OverlapSources,
  options: OverlapOptions = {},
): Promise<Overlap> {
  const { n = 13, words: rule = 'normalised', maximum = MOST_NGRAMS, signal } = options;
  if (!Number.isInteger(n) || n < 1 || n > 1000) {
    throw usageError('bad-ngram', `an n-gram of ${n} words; expected a whole number from 1 to 1000, as 13`);
  }
  const set = createHashSet(maximum);
  const ngrams = createNgrams(n, rule);
  const corpora: Corpus[] = [];
  for (const source of evaluation) corpora.push(await openCorpus(storage, source, signal));
  const trained = await openCorpus(storage, reference, signal);

  const gathered: EvaluationCounts[] = [];
  for (const [i, corpus] of corpora.entries()) {
    gathered.push(await gather(corpus, ngrams, set, { name: evaluation[i]?.name ?? '', n, maximum }));
  }
  const streamed = await stream(trained, ngrams, set);
  const sets: Overlap['evaluation'] = [];
  for (const [i, corpus] of corpora.entries()) {
    const name = evaluation[i]?.name ?? '';
    const counts = gathered[i] as EvaluationCounts;
    const { found, over } = await look(corpus, ngrams, set, name, counts);
    sets.push({
      name,
      documents: counts.documents,
      short_documents: counts.short,
      ngrams: counts.ngrams,
      found,
      share: counts.ngrams === 0 ? null : found / counts.ngrams,
      documents_over_half: over,
      set_aside: counts.setAside,
    });
  }
  return {
    n,
    words: rule,
    rule: WORD_RULES[rule],
    evaluation: sets,
    reference: {
      names: trained.shards.slice(0, MOST_NAMED).map(({ name }) => name),
      shards: trained.shards.length,
      ...streamed,
    },
    distinct_ngrams: set.size(),
    distinct_maximum: maximum,
  };
}

interface Corpus {
  readonly shards: readonly Shard[];
  /** Texts in order. Throws `no-text` at the end where there was none. */
  texts(setAside: (rows: number) => void): AsyncGenerator<string>;
}

async function openCorpus(storage: Storage, source: TextSource, signal?: AbortSignal): Promise<Corpus> {
  const shards = await expandShards(storage, source.patterns);
  const defaults = corpusSettings.parse({});
  const column = source.text ?? defaults.text;
  const reading: ReadOptions = {
    columns: { text: column, keep: [] },
    maxTextBytes: defaults.max_text_bytes,
    partBytes: defaults.part_bytes,
  };
  return {
    shards,
    async *texts(setAside) {
      let documents = 0;
      let first: string | null = null;
      for (const shard of shards) {
        const plan = await planShard(storage, shard, reading);
        for await (const { rows } of readShard(storage, plan, reading)) {
          for await (const row of rows) {
            signal?.throwIfAborted();
            if (row.kind === 'document') {
              documents++;
              yield row.text;
            } else {
              first ??= `${shard.path}: row ${row.row}: ${row.detail}`;
              setAside(row.rows ?? 1);
            }
          }
        }
      }
      if (documents > 0) return;
      throw usageError(
        'no-text',
        `${source.patterns.join(', ')}: no document has text in column '${column}'${first === null ? '' : ` (${first})`}; name the column that holds it`,
      );
    },
  };
}

interface EvaluationCounts {
  readonly documents: number;
  readonly short: number;
  readonly ngrams: number;
  readonly setAside: number;
}

/** First reading of an evaluation set: its n-grams go into the set. */
async function gather(
  corpus: Corpus,
  { scan }: Ngrams,
  set: HashSet,
  { name, n, maximum }: { readonly name: string; readonly n: number; readonly maximum: number },
): Promise<EvaluationCounts> {
  let [documents, short, ngrams, setAside] = [0, 0, 0, 0];
  let full = false;
  const texts = corpus.texts((rows) => {
    setAside += rows;
  });
  for await (const text of texts) {
    documents++;
    const before = ngrams;
    scan(text, (low, high) => {
      ngrams++;
      full ||= !set.add(low, high);
    });
    if (ngrams === before) short++;
    if (!full) continue;
    const slots = slotsFor(maximum);
    throw usageError(
      'too-many-ngrams',
      `evaluation set ${name}, document ${documents}: more than ${maximum} different ${n}-grams in all sets, what ${slots} slots of ${BYTES_A_SLOT} bytes (${Math.ceil((slots * BYTES_A_SLOT) / 1e6)} MB) hold three quarters full; compare fewer sets at a time`,
    );
  }
  return { documents, short, ngrams, setAside };
}

/** The reference data: whatever the set has of it is marked. */
async function stream(corpus: Corpus, { scan }: Ngrams, set: HashSet) {
  let [documents, words, setAside] = [0, 0, 0];
  const texts = corpus.texts((rows) => {
    setAside += rows;
  });
  for await (const text of texts) {
    documents++;
    words += scan(text, set.mark);
  }
  return { documents, words, set_aside: setAside };
}

/** Second reading of an evaluation set: which of its n-grams are marked. */
async function look(
  corpus: Corpus,
  { scan }: Ngrams,
  set: HashSet,
  name: string,
  expected: EvaluationCounts,
): Promise<{ readonly found: number; readonly over: number }> {
  let [found, over, ngrams] = [0, 0, 0];
  let known = true;
  for await (const text of corpus.texts(() => undefined)) {
    let [own, hits] = [0, 0];
    scan(text, (low, high) => {
      own++;
      const marked = set.marked(low, high);
      if (marked === true) hits++;
      if (marked === undefined) known = false;
    });
    ngrams += own;
    found += hits;
    if (hits > own / 2) over++;
  }
  if (known && ngrams === expected.ngrams) return { found, over };
  throw fatalError(
    'input-changed',
    `evaluation set ${name}: its files changed while they were read; run the command again`,
  );
}
