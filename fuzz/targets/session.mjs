/** ONNX exports all the way into ONNX Runtime: the session is made, and scores a batch. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { openSession } from '#tokensieve/score/session.js';
import { changeModel } from '../onnx-changes.mjs';
import { resultOf, workFolder } from '../support.mjs';
import { prepared } from './onnx.mjs';

export const name = 'session';

export const make = (draw) => ({ files: changeModel(draw) });

export async function run(folder) {
  const { outcome, value } = await prepared(folder);
  if (!value) return [outcome];
  const opened = await resultOf(() =>
    openSession(value, { device: 'cpu', threads: 1, role: 'reference model' }),
  );
  try {
    if (!opened.value) return [opened.outcome];
    const scored = await resultOf(() =>
      opened.value.score({
        sequences: [],
        rows: 2,
        length: 5,
        ids: Int32Array.from({ length: 10 }, (_, i) => i),
      }),
    );
    return [`scored ${scored.outcome}`];
  } finally {
    await opened.value?.close();
    rmSync(join(workFolder(), 'cache'), { recursive: true, force: true });
  }
}
