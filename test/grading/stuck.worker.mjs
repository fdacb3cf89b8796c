import { parentPort } from 'node:worker_threads';

// A grader that is held up by one answer, and by another takes all memory there is.
parentPort?.on('message', ({ id, output }) => {
  if (output === 'hang') for (;;);
  if (output === 'hoard') for (const all = []; ; ) all.push(new Array(1e5).fill(id));
  parentPort?.postMessage({
    id,
    kind: 'verdict',
    verdict: { extracted: output, right: output, score: true },
  });
});
parentPort?.postMessage({ id: null, kind: 'ready' });
