import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseStages } from '#tokensieve/pipeline/stages.js';
import type { QueuedStage } from '#tokensieve/queue/jobs.js';
import { pipelinePerformer } from '#tokensieve/queue/perform-pipeline.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { temporaryFolder } from '../support/quickstart.js';

const folder = temporaryFolder();
const ran = join(folder, 'ran');
const code = (name: string): string => {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(
    path,
    `import { writeFileSync } from 'node:fs';\nwriteFileSync(${JSON.stringify(ran)}, 'x');\nexport const section = () => ({ title: 't' });\n`,
  );
  return path;
};
const allowed = join(folder, 'allowed');
mkdirSync(allowed);
const strange = code('strange/method.mjs');
symlinkSync(strange, join(allowed, 'link.mjs'));

/** What a queue holds of one stage, as a worker has it. */
function queued(stage: Record<string, unknown>): QueuedStage {
  const [parsed] = parseStages({ stages: [stage] }, 'test').stages;
  const rules = { attempts: 1, backoff: 0, priority: 1, replace: false };
  return {
    id: 'x',
    stage: parsed,
    data: {
      version: 1,
      run: '0'.repeat(16),
      stages: [stage],
      index: 0,
      rules,
      step: 'begin',
      broken: 0,
      round: 0,
    },
  } as QueuedStage;
}
const select = (method: string) => queued({ name: 's', select: { run: join(folder, 'none'), method } });
const refusal = { code: 'code-in-queue', reach: 'usage' };

it.each([
  ['no folder', [], strange],
  ['another folder', [allowed], strange],
  ['a link out of the folder', [allowed], join(allowed, 'link.mjs')],
  ['a way out of the folder', [allowed], join(allowed, '..', 'strange', 'method.mjs')],
])('a method of a queued pipeline is not loaded: %s', async (_, folders, method) => {
  const performer = pipelinePerformer(localStorage(), () => undefined, 1, { folders, engines: [] });
  const signal = new AbortController().signal;
  await expect(performer.plan(select(method))).rejects.toMatchObject(refusal);
  await expect(performer.finish(select(method), signal)).rejects.toMatchObject(refusal);
  const part = { shard: 'a.jsonl', part: 0, fingerprint: 'x' };
  await expect(performer.part(select(method), part, signal, () => undefined)).rejects.toMatchObject(refusal);
  const sections = [{ module: method, options: {} }];
  const report = queued({
    name: 'r',
    report: { out: join(folder, 'r.html'), arms: { a: ['x'], b: ['y'] }, baseline: 'a', sections },
  });
  await expect(performer.single(report, signal)).rejects.toMatchObject(refusal);
  expect(() => writeFileSync(ran, 'y', { flag: 'wx' })).not.toThrow();
  const { rmSync } = await import('node:fs');
  rmSync(ran);
});

it('a method of an allowed folder is loaded', async () => {
  const method = code('allowed/method.mjs');
  const performer = pipelinePerformer(localStorage(), () => undefined, 1, {
    folders: [allowed],
    engines: [],
  });
  // What stops it is its own: there is no such run.
  await expect(performer.plan(select(method))).rejects.not.toMatchObject(refusal);
});

it.each([
  ['an engine', { engine: 'exec:touch /tmp/x' }, {}, 'score.engine'],
  ['the engine of one model', { current_engine: 'torch' }, {}, 'score.current_engine'],
  ['an interpreter', {}, { python: '/bin/sh' }, 'run.python'],
])('a program of a queued pipeline is not started: %s', async (_, score, run, field) => {
  const stage = queued({
    name: 's',
    score: { shards: [join(folder, 'a.jsonl')], current: folder, out: join(folder, 'out'), score, run },
  });
  const one = (engines: readonly string[]) =>
    pipelinePerformer(localStorage(), () => undefined, 1, { folders: [folder], engines }).plan(stage);
  await expect(one([])).rejects.toMatchObject(refusal);
  await expect(one([])).rejects.toThrow(`s.${field}: `);
  // Another engine's name allows nothing.
  await expect(one(['exec:other'])).rejects.toMatchObject(refusal);
});

it('an engine that was allowed by name is started', async () => {
  const engine = `exec:${process.execPath} -e "process.exit(3)"`;
  const stage = queued({
    name: 's',
    score: {
      shards: [join(folder, 'a.jsonl')],
      current: folder,
      out: join(folder, 'out'),
      score: { engine },
    },
  });
  const performer = pipelinePerformer(localStorage(), () => undefined, 1, { folders: [], engines: [engine] });
  await expect(performer.plan(stage)).rejects.not.toMatchObject(refusal);
});
