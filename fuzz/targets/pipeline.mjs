/** Pipeline files and `--set`, as the command line and as the service read them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mergeSettings, parseAssignment, readPipelineFile } from '#tokensieve/config/load.js';
import { expandShards } from '#tokensieve/corpus/expand.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { isStaged, parseStages } from '#tokensieve/pipeline/stages.js';
import { resolvePipeline } from '#tokensieve/service/pipeline/resolve.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { change } from '../bytes.mjs';
import { changeJson } from '../json.mjs';
import { Find, resultOf } from '../support.mjs';

export const name = 'pipeline';

const SINGLE = {
  version: 1,
  shards: ['shards/*.jsonl'],
  reference: 'model',
  current: 'model',
  out: 'out',
  corpus: { text: 'text', keep: ['url'], max_text_bytes: 1000000, limit: 5 },
  tokenizer: { path: 'model', control_tokens: 'text' },
  sequence: { length: 128, attention: 'across' },
  score: { device: 'cpu', batch_tokens: 1024, compression: 'zstd' },
  run: { workers: 1, threads: 1, cache: 'cache' },
  select: { method: 'slm', keep: 0.6, scope: 'window:1024' },
};
const STAGED = {
  assume: { tflops: 1 },
  stages: [
    { name: 'score', score: { ...SINGLE, select: undefined } },
    { name: 'pick', select: { run: 'out', method: 'slm', keep: 0.5 } },
    {
      name: 'learn',
      train: {
        model: { start: 'model' },
        data: { sources: [{ path: 'out/weighted', ratio: 1 }] },
        out: 'trained',
        held_out: { sources: { a: 'out/scored' } },
      },
    },
    { name: 'look', audit: { run: 'out', shards: ['shards/*.jsonl'] } },
  ],
};

const toYaml = (draw) =>
  draw.pick([
    () =>
      `a: &a [${'x,'.repeat(9)}x]\n${Array.from({ length: draw.pick([3, 9, 30, 200]) }, (_, i) => `b${i}: &b${i} [${`*${i === 0 ? 'a' : `b${i - 1}`},`.repeat(draw.pick([2, 9, 10]))}1]`).join('\n')}\n`,
    () => `${'- '.repeat(draw.pick([10, 500, 20_000]))}x`,
    () => '['.repeat(draw.pick([100, 5000, 200_000])) + ']'.repeat(draw.pick([0, 100, 5000])),
    () => '{a: '.repeat(draw.pick([100, 5000, 100_000])),
    () => `${'? '.repeat(draw.pick([100, 5000]))}x`,
    () =>
      `shards: [x]\nout: o\nreference: r\n<<: {out: p, __proto__: {polluted: 1}}\n__proto__: {polluted: 1, select: {method: ./evil.js}}\nconstructor: {prototype: {polluted: 1}}\n`,
    () =>
      `shards: !!js/function 'function(){globalThis.__ran=1}'\nout: !!binary ${'A'.repeat(draw.small(1000))}\n`,
    () =>
      `shards: [x]\nout: ${draw.pick(['0o777', '1e999', '.inf', '.nan', '0x7fffffffffffffff', '9'.repeat(5000), '2001-12-14t21:59:43.10-05:00', '~', '"\\U0010FFFF\\0"'])}\nreference: r\ncorpus: {limit: ${'9'.repeat(draw.small(400) + 1)}}\n`,
    () =>
      `%YAML 1.1\n%TAG ! tag:x,2000:\n---\nshards: [x]\n---\nshards: [y]\n...\n${'---\n'.repeat(draw.small(2000))}`,
    () => `x: &x\n  <<: *x\n  shards: [x]\nout: *x\n`,
    () =>
      `k: &k {${Array.from({ length: 300 }, (_, i) => `a${i}: 1`).join(', ')}}\n${Array.from({ length: draw.pick([5, 60, 3000]) }, (_, i) => `m${i}: {<<: *k, a: 1}`).join('\n')}\n`,
    () =>
      `${'"a": 1, '.repeat(3)}\n${'#'.repeat(draw.small(100_000))}\n${'\t'.repeat(draw.small(1000))}: |\n${' '.repeat(draw.small(1000))}x`,
    () => `${'&a '.repeat(draw.small(3000))}x: ${'!t '.repeat(draw.small(3000))}y\n`,
    () =>
      `a:\n${Array.from({ length: draw.pick([50, 3000, 20_000]) }, (_, i) => `${' '.repeat(i % 900)}k${i}:`).join('\n')}\n`,
    () => `"${'\\x41'.repeat(draw.small(50_000))}": '${"''".repeat(draw.small(50_000))}'\n`,
    () => `${'k: v: '.repeat(draw.small(20_000))}\n${']'.repeat(draw.small(50_000))}`,
  ])();

export function make(draw) {
  const base = draw.chance(0.5) ? SINGLE : STAGED;
  let text = draw.chance(0.3)
    ? toYaml(draw)
    : changeJson(draw, JSON.parse(JSON.stringify(base)), draw.small(5));
  if (draw.chance(0.3)) text = change(draw, Buffer.from(text)).toString('latin1');
  const set = draw.pick([
    'a=1',
    '__proto__.polluted=1',
    'constructor.prototype.polluted=1',
    'a.__proto__.polluted=1',
    'sequence.length=1e999',
    '=',
    'a',
    `${'a.'.repeat(draw.small(20_000))}a=1`,
    `a=${'['.repeat(draw.small(50_000))}`,
    'a={__proto__: {polluted: 1}}',
    'a=*b',
    'a=&b [*b]',
    'a=!!js/function x',
    `a=${'"'.repeat(draw.small(100))}`,
  ]);
  const glob = draw.pick([
    'shards/*.jsonl',
    'shards/**/*',
    `shards/${'*a'.repeat(draw.small(40))}b`,
    `shards/${'+(a|'.repeat(draw.small(30))}x${')'.repeat(30)}`,
    `shards/{a,b}${'{a,b}'.repeat(draw.small(20))}`,
    `shards/${'?'.repeat(draw.small(100))}`,
    `shards/[${'a-z'.repeat(draw.small(100))}`,
    'shards/../../outside/*',
    'shards/link/*',
    `shards/${'*'.repeat(draw.small(200))}x`,
    `shards/${'**/'.repeat(draw.small(30))}x`,
    `shards/${'*?'.repeat(draw.small(30))}x`,
    'shards/!(a*)*(b*)c',
    `shards/+(${'a*|'.repeat(draw.small(20))}b)+(c*)d`,
    `shards/{1..${draw.pick([10, 100000, 1e12])}}.jsonl`,
    'shards/{a..zzzz}',
    '\0',
    `${'../'.repeat(20)}etc/passwd`,
  ]);
  return {
    files: {
      'p.yaml': Buffer.from(text),
      'shards/a.jsonl': Buffer.from('{"text":"a"}\n'),
      'shards/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.jsonl': Buffer.from('{"text":"a"}\n'),
      'model/config.json': Buffer.from('{}'),
      'shards/link': { link: draw.outside },
    },
    set,
    glob,
  };
}

export async function run(folder, { set, glob }) {
  const outcomes = [];
  const file = await resultOf(() => readPipelineFile(join(folder, 'p.yaml')));
  outcomes.push(file.outcome);
  const patch = await resultOf(async () => parseAssignment(set));
  outcomes.push(patch.outcome);
  const jobs = join(folder, 'jobs');
  const job = join(jobs, 'j1');
  mkdirSync(job, { recursive: true });
  writeFileSync(join(job, 'job.json'), '{}');
  const places = { roots: [folder], jobs, job };
  const judge = async (settings) => {
    outcomes.push(
      (
        await resultOf(async () =>
          isStaged(settings) ? parseStages(settings, 'p') : parsePipeline(settings, 'p'),
        )
      ).outcome,
    );
    const resolved = await resultOf(() => resolvePipeline(settings, places));
    outcomes.push(`service ${resolved.outcome}`);
    if (resolved.value && JSON.stringify(resolved.value).includes('outside'))
      throw new Find('escape', 'the service lets a path outside through');
    if (resolved.value && /evil/.test(JSON.stringify(resolved.value.settings)))
      throw new Find('code', 'the service lets a module through');
  };
  if (file.value) {
    await judge(file.value);
    if (patch.value) await judge(mergeSettings(file.value, patch.value));
  }
  if (!/outside|link|etc/.test(glob))
    outcomes.push((await resultOf(() => expandShards(localStorage(), [join(folder, glob)]))).outcome);
  await judge({ ...SINGLE, shards: [glob] });
  return outcomes;
}
