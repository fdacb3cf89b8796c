/** No target of the package: misbehaves in every way that a find is made of, so that a test can see each one reported. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { usageError } from '#tokensieve/errors.js';
import { CANARY, resultOf } from '../support.mjs';

export const name = 'check';

const WAYS = [
  () => 'ok',
  () => {
    throw usageError('refused', 'as it should be');
  },
  () => {
    throw new TypeError('no error of the package');
  },
  (outside) => readFileSync(join(outside, 'canary.json')).length,
  () => ({ text: `so much for ${CANARY}` }),
  () => spawnSync('true').status,
  () => {
    setImmediate(() => {
      throw new Error('nobody catches this');
    });
  },
  () => process.kill(process.pid, 'SIGKILL'),
  () => Buffer.alloc(1.3 * 2 ** 30, 1).length,
];

export const make = (draw) => ({ files: { x: Buffer.from('x') }, outside: draw.outside });

let next = 0;
export async function run(folder, { outside }) {
  const way = WAYS[Number(process.env.CHECK_WAY ?? next++)];
  return [(await resultOf(async () => way?.(outside, folder))).outcome];
}
