import { expect, it } from 'vitest';
import { readSequences } from '#tokensieve/dataset/reader.js';
import { createSequenceWriter } from '#tokensieve/dataset/writer.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { toBatch, withFolder } from './batches.js';

const ROW_TOKENS = 2048;
const ROWS_A_BATCH = 16;
const columns = ['reference_loss', 'current_loss'] as const;

/** Largest growth of resident memory, in MB, over what was there at the start. */
function watchMemory() {
  const before = process.memoryUsage().rss;
  let most = before;
  return {
    look: () => {
      most = Math.max(most, process.memoryUsage().rss);
    },
    growth: () => (most - before) / 1e6,
  };
}

it('writes and reads a file of 500 MB within 150 MB', async () => {
  await withFolder(async (folder) => {
    const storage = localStorage();
    const path = `${folder}/large.arrow`;
    const options = { columns, lossPrecision: 'fp32', compression: 'none', metadata: {} } as const;
    const values = Array.from({ length: ROW_TOKENS }, (_, i) => (i === 0 ? Number.NaN : i / 64));
    const rows = Array.from({ length: ROWS_A_BATCH }, (_, id) => ({
      id: BigInt(id),
      ids: values.map((_, i) => i),
      columns: { reference_loss: values, current_loss: values },
      segments: [[0n, 0, ROW_TOKENS, 0n, 1n] as const],
    }));
    const batch = toBatch(rows, columns);

    const writing = watchMemory();
    const writer = await createSequenceWriter(storage, path, options);
    let batches = 0;
    for (let bytes = 0; bytes < 500e6; bytes += ROWS_A_BATCH * ROW_TOKENS * 12) {
      await writer.write(batch);
      batches++;
      writing.look();
    }
    const { rows: written, bytes } = await writer.finish();
    await writer.commit();
    expect(bytes).toBeGreaterThan(500e6);
    expect(written).toBe(batches * ROWS_A_BATCH);
    expect(writing.growth()).toBeLessThan(150);

    const reading = watchMemory();
    let read = 0;
    for await (const one of (await readSequences(storage, path)).batches()) {
      read += one.sequenceIds.length;
      reading.look();
    }
    expect(read).toBe(written);
    expect(reading.growth()).toBeLessThan(150);
    console.log(
      `memory growth: writing ${writing.growth().toFixed(0)} MB, reading ${reading.growth().toFixed(0)} MB`,
    );
  });
}, 120_000);
