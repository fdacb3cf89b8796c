/** PyTorch's optimiser steps on the same checkpoint: fp32 master weights, bf16 by autocast (fp32 on a CPU). */
import { openRival } from '../rival.mjs';

export async function torchTrain(job, { emit, checkpoints, timeLeft, shares }) {
  const folders = await checkpoints(job.size);
  const length = job.lengths[Math.floor(job.lengths.length / 2)];
  const { rows, stepTokens } = job.train;
  const micros = Math.max(1, Math.round(stepTokens / (rows * length)));
  const configurations =
    job.device === 'cpu'
      ? [{ run: 'eager', dtype: 'fp32', rows }]
      : [
          { run: 'layers', dtype: 'bf16', rows },
          { run: 'eager', dtype: 'bf16', rows },
        ];
  const rival = await openRival(job.python, job.device);
  try {
    for (const objective of ['clm', 'live']) {
      for (const config of configurations) {
        if (timeLeft() < 20 * job.seconds) {
          emit({ objective, ...config, skipped: 'out of time' });
          continue;
        }
        const question = { do: 'train', folder: folders.reference, objective, length, ...config };
        const ask = (accumulate) => rival.ask({ ...question, accumulate, steps: 2 });
        try {
          // The same two points as ours, and the same whole step made of them.
          const [few, more] = [await ask(1), await ask(3)];
          const micro = (Math.min(...more.step_s) - Math.min(...few.step_s)) / 2;
          const once = Math.min(...few.step_s) - micro;
          const seconds = once + micros * micro;
          const rate = (micros * rows * length) / seconds;
          emit({
            ...{
              objective,
              ...config,
              length,
              parameters: few.parameters,
              tokens_per_s: rate,
              measured: false,
            },
            ...shares(6 * few.parameters * rate),
            ...{ step_s: seconds, micro_s: micro, once_a_step_s: once, first_step_s: few.first_step_s },
            ...{ peak_device_bytes: more.peak_device_bytes, ...rival.versions },
          });
        } catch (error) {
          emit({ objective, ...config, error: error.message });
        }
      }
    }
  } finally {
    await rival.close();
  }
}
