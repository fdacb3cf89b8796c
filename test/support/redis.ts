import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

const place = process.env['REDIS_SERVER'] ?? '/usr/bin/redis-server';

/** Where a redis-server is, Debian's by default; null where there is none, or `REDIS_SERVER` names nothing that is there. */
export const redisServerPath: string | null = existsSync(place) ? place : null;

export interface TestRedis {
  readonly url: string;
  readonly port: number;
  /** Runs a command on a connection of its own. */
  command<T>(act: (client: Redis) => Promise<T>): Promise<T>;
  /** SIGKILL; what was not written to disk is gone. */
  kill(): Promise<void>;
  /** The same server again, on the same port, with what it kept. */
  start(): Promise<void>;
  close(): Promise<void>;
}

export interface TestRedisOptions {
  readonly password?: string;
  /** Keep every write in an append-only file. */
  readonly persistent?: boolean;
}

/** A Redis of the test's own, on a free port of this machine alone, with its files in a folder of its own. */
export async function startRedis({
  password,
  persistent = false,
}: TestRedisOptions = {}): Promise<TestRedis> {
  if (redisServerPath === null) throw new Error('no redis-server here');
  const path = redisServerPath;
  const folder = mkdtempSync(join(tmpdir(), 'tokensieve-redis-'));
  const port = await freePort();
  const url = `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${port}`;
  let child: ChildProcess | null = null;
  const connect = (): Redis =>
    new Redis({
      host: '127.0.0.1',
      port,
      ...(password !== undefined && { password }),
      lazyConnect: true,
      retryStrategy: () => null,
    });
  const command = async <T>(act: (client: Redis) => Promise<T>): Promise<T> => {
    const client = connect();
    client.on('error', () => undefined);
    try {
      await client.connect();
      return await act(client);
    } finally {
      client.disconnect();
    }
  };
  const start = async (): Promise<void> => {
    child = spawn(
      path,
      [
        ...[
          '--port',
          String(port),
          '--bind',
          '127.0.0.1',
          '--dir',
          folder,
          '--save',
          '',
          '--loglevel',
          'warning',
        ],
        ...(persistent ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']),
        ...(password === undefined ? [] : ['--requirepass', password]),
      ],
      { stdio: 'ignore' },
    );
    for (let tries = 0; ; tries++) {
      try {
        await command((client) => client.ping());
        return;
      } catch (error) {
        if (tries > 200) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  const kill = async (): Promise<void> => {
    const running = child;
    child = null;
    if (running === null || running.exitCode !== null) return;
    const ended = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await ended;
  };
  await start();
  return {
    url,
    port,
    command,
    kill,
    start,
    async close() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
