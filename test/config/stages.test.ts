import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseAssignment, readPipelineFile } from '#tokensieve/config/load.js';
import { isStaged, overrideStages, parseStages } from '#tokensieve/pipeline/stages.js';

const folder = mkdtempSync(join(tmpdir(), 'tokensieve-stages-'));
afterAll(() => rmSync(folder, { recursive: true }));

function read(text: string) {
  const path = join(folder, 'job.yaml');
  writeFileSync(path, text);
  return readPipelineFile(path);
}
const train = (name: string, more = '') =>
  `  - name: ${name}\n    train: {out: runs/${name}, model: {config: c.json}, data: {sources: [d]}, batch: {steps: 3}${more}}\n`;
const file = (stages: string) => `version: 1\nstages:\n${stages}`;
const parse = async (text: string) => parseStages(await read(text), 'job.yaml');

describe('a pipeline of stages', () => {
  it('has each command’s settings and defaults, in order, by name', async () => {
    const { stages } = await parse(
      file(`${train('base')}  - score: {shards: [s], reference: r, out: o}\n  - select: {run: o}\n`),
    );
    expect(stages.map(({ name, kind }) => [name, kind])).toEqual([
      ['base', 'train'],
      ['score', 'score'],
      ['select', 'select'],
    ]);
    expect(stages[0]?.settings).toMatchObject({ loss: { kind: 'clm' }, batch: { rows: 8, steps: 3 } });
    expect(stages[1]?.settings).toMatchObject({ sequence: { length: 2048 } });
    expect(stages[2]?.settings).toMatchObject({ run: 'o', method: 'slm', keep: 0.6 });
  });

  it('shares settings by anchors and merge keys, the stage’s own over the merged', async () => {
    const { stages } = await parse(
      `shared:\n  arm: &arm {model: {start: b}, batch: {tokens: 10}, loss: {kind: slm}}\nstages:\n` +
        `  - {name: a, train: {<<: *arm, out: a, data: {sources: [d], seed: 1}}}\n` +
        `  - {name: b, train: {<<: *arm, out: b, data: {sources: [d], seed: 2}, loss: {kind: clm}}}\n`,
    );
    expect(stages).toMatchObject([
      { settings: { out: 'a', batch: { tokens: 10 }, loss: { kind: 'slm' }, data: { seed: 1 } } },
      { settings: { out: 'b', batch: { tokens: 10 }, loss: { kind: 'clm' }, data: { seed: 2 } } },
    ]);
  });

  it('is told from a single run by its stages', () => {
    expect(isStaged({ stages: [] })).toBe(true);
    expect(isStaged({ shards: ['x'], out: 'o' })).toBe(false);
    expect(isStaged(Object.create({ stages: [] }))).toBe(false);
  });

  it.each<[string, string, RegExp]>([
    [
      'two stages of one name',
      train('a') + train('a'),
      /stages\.1: a second stage called a; give each train/,
    ],
    [
      'two kinds in one stage',
      '  - {score: {shards: [s], reference: r, out: o}, select: {run: o}}\n',
      /stages\.0: is one of/,
    ],
    ['a stage that is none', '  - {name: x}\n', /stages\.0 \(x\): is one of .*train, score, select/],
    ['an unknown kind', '  - {sing: {}}\n', /stages\.0: Unrecognized key: "sing"/],
    [
      'a wrong setting',
      train('a', ', optimizer: {learning_rate: -1}'),
      /stages\.0\.train\.optimizer\.learning_rate/,
    ],
    ['no stage', '  []\n', /stages: /],
    ['a name that is no name', train('"a b"'), /stages\.0\.name/],
    [
      'a baseline that is no arm',
      '  - report: {out: r.html, arms: {CLM: [a]}, baseline: SLM}\n',
      /report\.baseline: must be one of the arms/,
    ],
    [
      'arms of unlike size',
      '  - report: {out: r.html, arms: {CLM: [a], SLM: [b, c]}, baseline: CLM}\n',
      /report\.arms: .*as many runs/,
    ],
  ])('refuses %s', async (_, stages, message) => {
    await expect(parse(file(stages))).rejects.toThrow(message);
  });
});

describe('--set on stages', () => {
  const override = async (...assignments: string[]) =>
    parseStages(
      overrideStages(await read(file(train('base') + train('arm-1'))), assignments.map(parseAssignment)),
      'job',
    ).stages;

  it('goes by the stage’s name and leaves the others', async () => {
    const stages = await override('arm-1.batch.steps=7', 'arm-1.loss={kind: slm}', 'base.data.seed=5');
    expect(stages).toMatchObject([
      { settings: { batch: { steps: 3 }, data: { seed: 5, sources: [{ path: 'd' }] } } },
      { settings: { batch: { steps: 7 }, loss: { kind: 'slm' }, data: { seed: 0 } } },
    ]);
  });

  it('names the stages when none is meant', async () => {
    await expect(override('bass.batch.steps=7')).rejects.toThrow(
      '--set bass: no stage is called that; the stages are base, arm-1',
    );
  });
});

describe('merge keys', () => {
  const anchor = (keys: number) =>
    `a: &a {${Array.from({ length: keys }, (_, i) => `k${i}: 1`).join(', ')}}\n`;
  const merges = (count: number) => Array.from({ length: count }, (_, i) => `b${i}: {<<: *a}\n`).join('');

  it('copy no more than a limit', async () => {
    expect(Object.keys(await read(anchor(90) + merges(90)))).toHaveLength(91);
    await expect(read(anchor(1000) + merges(11))).rejects.toThrow(/merge keys \(<<\) copy too many settings/);
    await expect(read(`${anchor(1000)}b: {<<: [${Array(11).fill('*a').join(', ')}]}`)).rejects.toThrow(
      /copy too many/,
    );
  });

  it('within merge keys are refused before they multiply', async () => {
    const names = 'abcdefghij'.split('');
    const bomb = names.map((name, i) =>
      i === 0
        ? 'a: &a {k: 1}'
        : `${name}: &${name} {<<: [${Array(9)
            .fill(`*${names[i - 1]}`)
            .join(', ')}]}`,
    );
    await expect(read(bomb.join('\n'))).rejects.toThrow(/Excessive alias count/);
  });

  it('never reach a prototype', async () => {
    const settings = await read('a: {<<: {__proto__: {polluted: 1}}}');
    expect((settings['a'] as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});
