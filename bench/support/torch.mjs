/** PyTorch in a process that measures a configuration for some seconds whenever it is asked. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/**
 * @param {string} python interpreter · @param {string} script below bench/torch · @param {string[]} args
 */
export async function openTorch(python, script, args) {
  const path = new URL(`../torch/${script}`, import.meta.url).pathname;
  const child = spawn(python, [path, ...args], { stdio: ['pipe', 'pipe', 2] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${script} ended`);
    return JSON.parse(value);
  };
  const { torch, transformers } = await next();
  return {
    versions: { torch, transformers },
    measure(config, seconds) {
      child.stdin.write(`${config} ${seconds}\n`);
      return next();
    },
    close: () => child.stdin.end(),
  };
}
