import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../fixtures/quickstart/random.mjs';

/** A copy of a float32 checkpoint whose head has noise of the given size: a model that knows less. The same each time. */
export function perturbedCheckpoint(from: string, to: string, noise: number): string {
  cpSync(from, to, { recursive: true });
  const path = join(to, 'model.safetensors');
  const bytes = readFileSync(path);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Record<
    string,
    { readonly dtype: string; readonly data_offsets: readonly [number, number] }
  >;
  const head = header['lm_head.weight'];
  if (head?.dtype !== 'F32') throw new Error(`${from}: no float32 lm_head.weight`);
  const random = new Random('perturbed');
  const [start, end] = head.data_offsets.map((offset) => 8 + headerBytes + offset) as [number, number];
  for (let at = start; at < end; at += 4) {
    // The sum of twelve uniform numbers is near enough to a normal one.
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += random.unit();
    bytes.writeFloatLE(bytes.readFloatLE(at) + noise * sum, at);
  }
  writeFileSync(path, bytes);
  return to;
}
