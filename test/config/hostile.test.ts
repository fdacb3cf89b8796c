/** What fuzzing found in pipeline files. */
import { expect, it } from 'vitest';
import { mergeSettings, parseAssignment, parsePipelineText } from '#tokensieve/config/load.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';

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
