/** PyTorch scoring the same checkpoint in bf16 (fp32 on a CPU), by row length and way of compiling. */

import { rowsOf } from '../ours.mjs';
import { openRival } from '../rival.mjs';

/** In the order of what they are worth: what time runs out on is the least likely to be the best. */
function configurations({ device, lengths }) {
  const middle = lengths[Math.floor(lengths.length / 2)];
  const others = lengths.filter((length) => length !== middle);
  if (device === 'cpu') return lengths.map((length) => ({ run: 'eager', length }));
  return [
    { run: 'layers', length: middle },
    { run: 'eager', length: middle },
    ...others.map((length) => ({ run: 'layers', length })),
    { run: 'compile', length: middle },
  ];
}

export async function torchScore(job, { emit, checkpoints, timeLeft }) {
  const folders = await checkpoints(job.size);
  const rival = await openRival(job.python, job.device);
  const dtype = job.device === 'cpu' ? 'fp32' : 'bf16';
  try {
    for (const { run, length } of configurations(job)) {
      // Compilation of the whole takes longest; it is not begun where it could not end.
      if (timeLeft() < (run === 'compile' ? 45 : 4 * job.seconds)) {
        emit({ run, length, skipped: 'out of time' });
        continue;
      }
      const rows = rowsOf(job.batchTokens, length);
      const question = {
        do: 'rate',
        folder: folders.reference,
        run,
        dtype,
        length,
        rows,
        seconds: job.seconds,
      };
      const answer = await rival.ask(question).catch((error) => ({ error: error.message }));
      emit({ run, dtype, length, rows, ...answer, ...rival.versions });
    }
  } finally {
    await rival.close();
  }
}
