import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { openWorkerCalls } from '#tokensieve/flow/worker-calls.js';
import { temporaryFolder } from '../support/quickstart.js';

const folder = temporaryFolder();
// Holds its thread as native code does, and says in shared memory that it came back.
const script = join(folder, 'busy.mjs');
writeFileSync(
  script,
  `import { parentPort, workerData } from 'node:worker_threads';
parentPort.on('message', ({ id }) => {
  Atomics.store(workerData, 0, 1);
  Atomics.notify(workerData, 0);
  Atomics.wait(workerData, 1, 0, 500);
  Atomics.add(workerData, 2, 1);
  parentPort.postMessage({ id, kind: 'done' });
});
parentPort.postMessage({ id: null, kind: 'ready' });
`,
);

it.each([
  [true, 2],
  [false, 0],
])(
  'a thread that is closed with requests at work comes back first where it runs native code (%s)',
  async (native, times) => {
    const shared = new Int32Array(new SharedArrayBuffer(12));
    const calls = await openWorkerCalls<object, { id: number; kind: 'done' }>(
      pathToFileURL(script),
      { workerData: shared, native },
      (reason) => new Error(reason),
    );
    const asked = [calls.ask({}), calls.ask({})].map((one) => one.catch((error: Error) => error.message));
    while (Atomics.load(shared, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await calls.close();
    expect(Atomics.load(shared, 2)).toBe(times);
    const answers = await Promise.all(asked);
    if (native) expect(answers.map((answer) => (answer as { kind?: string }).kind)).toEqual(['done', 'done']);
    else expect(answers.join()).toContain('its thread ended');
    await expect(calls.ask({})).rejects.toThrow('closed');
  },
);
