import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { crc32c, maskedCrc32c } from '#tokensieve/train/crc32c.js';
import { openMetrics, readMetrics } from '#tokensieve/train/metrics.js';
import type { StepMetrics } from '#tokensieve/train/step-metrics.js';
import { metricsAt } from '../../fixtures/trainer/write.mjs';
import { temporaryFolder } from '../support/quickstart.js';

const folder = temporaryFolder();
let count = 0;
const fresh = (): string => join(folder, `${count++}.jsonl`);

async function stepsOf(path: string): Promise<StepMetrics[]> {
  const steps: StepMetrics[] = [];
  for await (const metrics of readMetrics(path)) steps.push(metrics);
  return steps;
}

async function writeSteps(path: string, from: number, to: number, keepBytes = 0): Promise<number> {
  const writer = await openMetrics(path, keepBytes);
  for (let step = from; step <= to; step++) await writer.append(metricsAt(step));
  const bytes = await writer.flush();
  await writer.close();
  return bytes;
}

const span = (from: number, to: number): StepMetrics[] =>
  Array.from({ length: to - from + 1 }, (_, i) => metricsAt(from + i));

describe('metrics.jsonl', () => {
  it('gives back what was appended; the length is the file’s', async () => {
    const path = fresh();
    expect(await writeSteps(path, 1, 5)).toBe(statSync(path).size);
    expect(await stepsOf(path)).toEqual(span(1, 5));
    expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(6);
  });

  it('is cut back to a checkpoint’s length on resume, whatever came after it', async () => {
    const path = fresh();
    const atCheckpoint = await writeSteps(path, 1, 3);
    await writeSteps(path, 4, 6, atCheckpoint);
    appendFileSync(path, '{"step":7,"tok');
    expect(await writeSteps(path, 4, 5, atCheckpoint)).toBe(statSync(path).size);
    expect(await stepsOf(path)).toEqual(span(1, 5));
    await writeSteps(path, 1, 1);
    expect(await stepsOf(path)).toEqual(span(1, 1));
  });

  it('refuses a length that is not this file’s, and leaves the file alone', async () => {
    const path = fresh();
    const bytes = await writeSteps(path, 1, 3);
    for (const wrong of [bytes + 1, bytes - 1, 7]) {
      await expect(openMetrics(path, wrong)).rejects.toMatchObject({
        reach: 'fatal',
        code: 'metrics-cut',
        message: expect.stringContaining(`${path}: has ${bytes} bytes`),
      });
    }
    expect(await stepsOf(path)).toEqual(span(1, 3));
    await expect(openMetrics(fresh(), 1)).rejects.toMatchObject({ code: 'metrics-cut' });
  });

  it('refuses figures that JSON cannot hold', async () => {
    const path = fresh();
    const writer = await openMetrics(path);
    await expect(writer.append({ ...metricsAt(2), loss_selected: Number.NaN })).rejects.toMatchObject({
      code: 'bad-metrics',
      message: expect.stringMatching(/step 2 has field loss_selected/),
    });
    const heldOut = { held_out: { clean: Number.POSITIVE_INFINITY } };
    await expect(writer.append({ ...metricsAt(2), ...heldOut })).rejects.toMatchObject({
      message: expect.stringMatching(/held_out\.clean/),
    });
    expect(await writer.flush()).toBe(0);
    await writer.close();
  });

  it('passes over a torn last line, and over no other', async () => {
    const path = fresh();
    const whole = span(1, 2).map((metrics) => JSON.stringify(metrics));
    writeFileSync(path, `${whole.join('\n')}\n{"step":3,"lo`);
    expect(await stepsOf(path)).toEqual(span(1, 2));
    writeFileSync(path, whole.join('\n'));
    expect(await stepsOf(path)).toEqual(span(1, 2));
    writeFileSync(path, `${whole[0]}\n{"step":3,"lo\n${whole[1]}\n`);
    await expect(stepsOf(path)).rejects.toMatchObject({
      reach: 'input',
      code: 'bad-metrics',
      message: expect.stringContaining(`${path}: line 2 is not JSON`),
    });
    writeFileSync(path, `${whole[0]}\n{"step":3,"lo\n`);
    await expect(stepsOf(path)).rejects.toMatchObject({ code: 'bad-metrics' });
  });

  it.each([
    ['a field that is missing', '{}', /line 1 has field step/],
    ['a null where there is none', JSON.stringify({ ...metricsAt(1), kept: null }), /field kept/],
    ['something else', '[]', /field \(whole\)/],
    ['an endless line', `"${'x'.repeat(2 ** 21)}"`, /line 1 is 2097154 bytes long/],
  ])('refuses %s', async (_name, line, message) => {
    const path = fresh();
    writeFileSync(path, `${line}\n`);
    await expect(stepsOf(path)).rejects.toMatchObject({
      code: 'bad-metrics',
      message: expect.stringMatching(message),
    });
  });

  it('tells of every flipped bit that changes a figure, and of a line that is gone', async () => {
    const path = fresh();
    await writeSteps(path, 1, 4);
    const whole = readFileSync(path);
    let told = 0;
    for (let place = 0; place < whole.length; place += 3) {
      const bytes = Buffer.from(whole);
      bytes[place] = (bytes[place] ?? 0) ^ (1 << (place % 7));
      writeFileSync(path, bytes);
      const found = await stepsOf(path).catch((error: unknown) => error);
      if (found instanceof Error) {
        expect(found).toMatchObject({ code: 'bad-metrics' });
        told++;
      } else if (JSON.stringify(found) !== JSON.stringify(span(1, 4))) {
        // The line feed of the last line, as a killed run may leave it.
        expect(place).toBe(whole.length - 1);
      }
    }
    expect(told).toBeGreaterThan(whole.length / 4);
    const lines = whole.toString().split('\n');
    writeFileSync(path, [lines[0], ...lines.slice(2)].join('\n'));
    await expect(stepsOf(path)).rejects.toThrow(/line 2 is of step 3 after 1/);
    await expect(openMetrics(path, statSync(path).size)).rejects.toMatchObject({ code: 'bad-metrics' });
  });

  it('reads lines of before they had a checksum, and goes on after them', async () => {
    const path = fresh();
    const lines = span(1, 2).map((metrics) => `${JSON.stringify(metrics)}\n`);
    writeFileSync(path, lines.join(''));
    await writeSteps(path, 3, 4, statSync(path).size);
    expect(await stepsOf(path)).toEqual(span(1, 4));
  });

  it('names a file that is not there', async () => {
    await expect(stepsOf(join(folder, 'none'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

// RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms.
describe('CRC-32C', () => {
  it.each([
    [Buffer.from('123456789'), 0xe3069283],
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ])('case %#', (bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
    const rotated = ((expected >>> 15) | (expected << 17)) >>> 0;
    expect(maskedCrc32c(bytes)).toBe((rotated + 0xa282ead8) % 2 ** 32);
  });
});
