// Speed of the tokenizer room against the libraries called directly, in one run.
//
//   node bench/tokenizer.mjs [tokenizer.json or folder] [megabytes of text]
//
// Native: `encode` against the binding's own `encodeBatch` + `getIds`, the work a caller cannot avoid. Portable:
// one and two threads, and the library's own `Tokenizer.encode` on one. Best of five, taken in turns, after a
// warm-up. Text: the noisy documents of ../shared/data where it is, else the fixtures' own. RSS is the process's peak
// so far, so that the native figures come first.
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { Tokenizer as PortableLibrary } from '@huggingface/tokenizers';
import { Tokenizer as NativeLibrary } from 'tokenizers';
import { tokenizerFile } from '../dist/tokenizer/definition.js';
import { openTokenizer } from '../dist/tokenizer/open.js';

const RUNS = 5;
const shared = new URL('../../shared/data/', import.meta.url);
const hasShared = existsSync(shared);
const path =
  process.argv[2] ??
  new URL(
    hasShared ? 'tokenizers/llama2__dolma-exact' : '../fixtures/tokenizers/byte-fallback.json',
    hasShared ? shared : import.meta.url,
  ).pathname;
const texts = sample(Number(process.argv[3] ?? 4) * 1e6);
const characters = texts.reduce((sum, text) => sum + text.length, 0);

const { file } = await tokenizerFile(path);
const json = JSON.parse(readFileSync(file, 'utf8'));
const stripped = {
  ...json,
  post_processor: null,
  truncation: null,
  padding: null,
  added_tokens: json.added_tokens.filter(({ special }) => !special),
};
const binding = NativeLibrary.fromString(JSON.stringify(stripped));
const native = await openTokenizer({ path, engine: 'native' });
const [one, two] = await Promise.all(
  [1, 2].map((workers) => openTokenizer({ path, engine: 'portable', workers })),
);
const library = new PortableLibrary({ ...stripped, decoder: null }, {});

const tokens = (await native.encode(texts)).reduce((sum, { ids }) => sum + ids.length, 0);
console.log(
  `${file}: ${texts.length} documents, ${(characters / 1e6).toFixed(1)} M characters, ${tokens} tokens, ${availableParallelism()} cores`,
);

const direct = async () =>
  (await binding.encodeBatch(texts, { addSpecialTokens: false })).map((encoding) => encoding.getIds());
const ours = (tokenizer) => () => tokenizer.encode(texts);
const [binds, room] = await measure([direct, ours(native)]);
report('native binding, called directly', binds);
report('native engine', room, ['the binding', binds]);
const [plain, double] = await measure([ours(one), ours(two)]);
report('portable engine, 1 thread', plain);
report('portable engine, 2 threads', double, ['1 thread', plain]);
// The library needs minutes where a document is one word (Llama): a tenth of the text has to do.
const tenth = texts.slice(0, Math.ceil(texts.length / 10));
const tenthTokens = (await native.encode(tenth)).reduce((sum, { ids }) => sum + ids.length, 0);
const [alone] = await measure(
  [async () => tenth.map((text) => library.encode(text, { add_special_tokens: false }))],
  2,
);
const share = tokens / tenthTokens;
report('portable library, called directly', { wall: alone.wall * share, cpu: alone.cpu * share }, [
  'the portable engine, 1 thread',
  plain,
]);
const encodings = await native.encode(texts);
const [offsets] = await measure([async () => encodings.map((encoding) => encoding.offsets())], 2);
report('byte offsets of every document', offsets);
await Promise.all([native, one, two].map((tokenizer) => tokenizer.close()));

/** Seconds of each task, by the clock and on all cores: the best of `runs`, the tasks taking turns. */
async function measure(tasks, runs = RUNS) {
  const best = tasks.map(() => ({ wall: Number.POSITIVE_INFINITY, cpu: Number.POSITIVE_INFINITY }));
  for (const task of tasks) await task();
  for (let run = 0; run < runs; run++) {
    for (const [i, task] of tasks.entries()) {
      const [start, used] = [performance.now(), process.cpuUsage()];
      await task();
      const { user, system } = process.cpuUsage(used);
      best[i].wall = Math.min(best[i].wall, (performance.now() - start) / 1000);
      best[i].cpu = Math.min(best[i].cpu, (user + system) / 1e6);
    }
  }
  return best;
}

/** `ratio`: speed against another's, by the clock and by processor time (what another job on the machine spoils less). */
function report(what, { wall, cpu }, ratio) {
  const rate = `${(tokens / wall / 1e6).toFixed(3)} M tokens/s`;
  const against = ratio
    ? `, ${(ratio[1].wall / wall).toFixed(2)}x ${ratio[0]} (${(ratio[1].cpu / cpu).toFixed(2)}x by processor time)`
    : '';
  console.log(
    `${what.padEnd(36)} ${rate}${against}, peak RSS ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`,
  );
}

function sample(wanted) {
  if (!hasShared) {
    const { cases } = JSON.parse(
      readFileSync(new URL('../fixtures/tokenizers/golden.json', import.meta.url), 'utf8'),
    );
    const unit = cases.map(({ text }) => text).join('\n');
    return Array.from({ length: Math.ceil(wanted / unit.length) }, () => unit);
  }
  const documents = [];
  let room = wanted;
  for (const name of ['planetmath-html-text', 'scipy-doc', 'sympy-doc']) {
    const lines = gunzipSync(readFileSync(new URL(`corpora/noisy/${name}.jsonl.gz`, shared)))
      .toString('utf8')
      .split('\n');
    for (const line of lines) {
      if (room <= 0) return documents;
      if (line === '') continue;
      const { text } = JSON.parse(line);
      documents.push(text);
      room -= text.length;
    }
  }
  return documents;
}
