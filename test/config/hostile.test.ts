/** What fuzzing found in pipeline files. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  mergeSettings,
  parseAssignment,
  parsePipelineText,
  readPipelineFile,
} from '#tokensieve/config/load.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { temporaryFolder } from '../support/quickstart.js';

const MIB = 2 ** 20;
const fill = (text: string): string => text.repeat(Math.floor(MIB / text.length));

it.each([
  ['open brackets', () => fill('[')],
  ['open braces', () => fill('{a: ')],
  ['brackets that close nothing', () => fill(']')],
  ['lists in lists', () => fill('- ')],
  ['keys of keys', () => fill('? ')],
  ['mappings in one line', () => fill('k: v: ')],
  ['anchors', () => `${fill('&a ').slice(0, MIB - 10)}x: y`],
  ['indentation', () => Array.from({ length: 1400 }, (_, i) => `${' '.repeat(i)}k:`).join('\n')],
])('a megabyte of %s is refused before the parser recurses', (_, text) => {
  const before = process.memoryUsage().heapUsed;
  expect(() => parsePipelineText(text(), 'p.yaml')).toThrow(
    expect.objectContaining({ code: 'pipeline-unreadable', message: expect.stringMatching(/nested deeper/) }),
  );
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(100e6);
});

it('files as people write them are read: JSON on one line, comments, long lists', () => {
  const shards = Array.from({ length: 5000 }, (_, i) => `web-${i}-of-05000.parquet`);
  expect(parsePipelineText(JSON.stringify({ shards }), 'p')).toEqual({ shards });
  const yaml = `# ${'- '.repeat(100)}\nshards:\n${shards.map((shard) => `  - ${shard}`).join('\n')}\nout: {a: [b, {c: d}]}\n`;
  expect(parsePipelineText(yaml, 'p')).toEqual({ shards, out: { a: ['b', { c: 'd' }] } });
});

it('a key called __proto__ is a key that no schema knows, wherever it comes from', () => {
  const text = 'shards: [a]\nreference: r\nout: o\n__proto__: {select: {method: ./evil.js}}\n';
  const settings = parsePipelineText(text, 'p');
  const merged = mergeSettings(settings, parsePipelineText('__proto__: {run: {workers: 9}}', 'q'));
  for (const each of [settings, merged]) {
    expect(Object.getPrototypeOf(each)).toBe(Object.prototype);
    expect(() => parsePipeline(each, 'p')).toThrow(/__proto__/);
  }
  expect(() => parseAssignment('__proto__.select=1')).toThrow(/expected name.of.setting/);
  expect(Object.keys(Object.prototype)).toEqual([]);
});

it.each([
  ['!!set {keep}', '!!set'],
  ['!!omap [keep: 1]', '!!omap'],
  ['!!pairs [keep: 1]', '!!pairs'],
  ['!!binary aGk=', '!!binary'],
  ['!!timestamp 2026-01-01', '!!timestamp'],
  ['!!merge <<', '!!merge'],
  ['!local x', '!local'],
  ['[a, {b: !!set {keep}}]', '!!set'],
])('a value tagged as something that no setting is, %s, is refused by its tag and place', (value, tag) => {
  expect(() => parsePipelineText(`out: o\nselect: ${value}\n`, 'p.yaml')).toThrow(
    expect.objectContaining({
      code: 'pipeline-unreadable',
      message: expect.stringMatching(new RegExp(`^p\\.yaml:2:\\d+: ${tag} is no kind of setting`)),
      frame: [`2 | select: ${value}`, expect.stringMatching(/^ +\^+$/)],
    }),
  );
  expect(() => parseAssignment(`select=${value}`)).toThrow(expect.objectContaining({ code: 'bad-set' }));
});

it('tags that say what a value is anyway are read, and so are merges', () => {
  expect(parsePipelineText('a: !!str 1\nb: !!int "2"\nc: &c {d: 1}\ne: {<<: *c, f: 2}\n', 'p')).toEqual({
    a: '1',
    b: 2,
    c: { d: 1 },
    e: { d: 1, f: 2 },
  });
});

it('names that are one setting are there twice, however they are written', () => {
  expect(() => parsePipelineText('a: {1: 2, "1": 3}', 'p')).toThrow(/1 is there twice/);
});

it('a file that is not UTF-8 is refused, with the line', async () => {
  const path = join(temporaryFolder(), 'p.yaml');
  writeFileSync(
    path,
    Buffer.concat([Buffer.from('shards: [a]\nout: "'), Buffer.from([0xe9]), Buffer.from('"\n')]),
  );
  await expect(readPipelineFile(path)).rejects.toThrow(/p\.yaml: .*is not UTF-8 in line 2/);
  writeFileSync(path, Buffer.from('\ufeffshards: [a]\n', 'utf16le'));
  await expect(readPipelineFile(path)).rejects.toThrow(/is UTF-16/);
  writeFileSync(path, '\ufeffshards: [ä]\n');
  expect(await readPipelineFile(path)).toEqual({ shards: ['ä'] });
});

it('the mark stands below what is meant, behind tabs and wide letters', () => {
  const frameOf = (text: string): readonly string[] => {
    try {
      parsePipeline(parsePipelineText(text, 'p.yaml'), 'p.yaml');
    } catch (error) {
      return (error as { frame: readonly string[] }).frame;
    }
    return [];
  };
  const head = 'shards: [a]\nreference: r\nout: o\n';
  const [line = '', mark = ''] = frameOf(`${head}select: {\t\tfoo: 1}\n`);
  expect(line.slice(mark.indexOf('^'), mark.lastIndexOf('^') + 1)).toBe('foo');
  const [, wide = ''] = frameOf(`${head}"漢字": 1\n`);
  expect(wide).toBe('    ^^^^');
  const [, behind = ''] = frameOf(`${head}select: {domains: "漢", foo: 1}\n`);
  expect(behind).toContain('\u3000');
});

it('a number beyond every bound is told once', () => {
  const settings = { shards: ['a'], reference: 'r', out: 'o', sequence: { length: 1e30 } };
  expect(() => parsePipeline(settings, 'p')).toThrow(
    /^p: sequence\.length: Too big: expected number to be <=1048576$/,
  );
});
