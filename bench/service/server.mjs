/** The server under load: `tokensieve serve` in a process of its own, and what the system says of it. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const TICKS = 100; // USER_HZ of Linux.

/** Starts the service on a free port, its models loaded. `score` are settings of `serve`. */
export async function startServer(models, folder, { program = cli, score = {} }) {
  const root = join(folder, 'root');
  mkdirSync(root);
  const config = join(folder, 'serve.json');
  writeFileSync(config, JSON.stringify({ score }));
  const args = ['serve', '--config', config, '--port', '0', '--root', root, '--log', 'warn', '--preload'];
  const child = spawn(
    process.execPath,
    [program, ...args, '--models', `bench=${models.reference},${models.current}`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache-of-service') },
    },
  );
  const url = await new Promise((resolve, reject) => {
    let out = '';
    child.stdout.on('data', (text) => {
      out += text;
      const [found] = /http:\/\/\S+/.exec(out) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => reject(new Error(`the service ended with ${code}`)));
  });
  return {
    url,
    pid: child.pid,
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      return gone;
    },
  };
}

const proc = (pid, file) => readFileSync(`/proc/${pid}/${file}`, 'utf8');

/** Bytes resident. */
export const rssOf = (pid) => Number(/VmRSS:\s+(\d+)/.exec(proc(pid, 'status'))[1]) * 1024;

/** Seconds of CPU so far, all threads. */
export function cpuOf(pid) {
  const fields = proc(pid, 'stat').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Values of some figures of /metrics; null where one is not there. */
export async function metrics(url, names) {
  const lines = (await (await fetch(`${url}/metrics`)).text()).split('\n');
  return names.map((name) => {
    const line = lines.find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`));
    return line === undefined ? null : Number(line.split(' ').at(-1));
  });
}
