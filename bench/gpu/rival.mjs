/** PyTorch in a process of its own that answers questions, one JSON object a line. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** @param {string} python interpreter with torch and transformers · @param {string} device `cpu` or `cuda` */
export async function openRival(python, device) {
  const path = new URL('./rival.py', import.meta.url).pathname;
  // Threads that spin while they wait cost more than they do on a CPU that others use too.
  const env =
    device === 'cpu' ? { OMP_WAIT_POLICY: 'passive', KMP_BLOCKTIME: '0', ...process.env } : process.env;
  const child = spawn(python, [path, '--device', device], { stdio: ['pipe', 'pipe', 2], env });
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} bench/gpu/rival.py ended; does it have torch and transformers?`);
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(`PyTorch: ${answer.error}`);
    return answer;
  };
  const versions = await next();
  return {
    versions,
    ask(question) {
      child.stdin.write(`${JSON.stringify(question)}\n`);
      return next();
    },
    async close() {
      child.stdin.end();
      await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve()));
    },
  };
}
