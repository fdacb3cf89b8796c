import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

/** An S3 server that enforces conditions on writes. Its Go module is built once, into the user's cache. */
const MODULE = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
const BUILD_MS = 20 * 60_000;

const binFolder = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tokensieve', 'bin');

/** Path of the server's program, or null where there is neither it nor a way to build it. Takes minutes once. */
function versitygw(): string | null {
  const program = join(binFolder, 'versitygw');
  if (existsSync(program)) return program;
  mkdirSync(binFolder, { recursive: true });
  const env = { ...process.env, GOBIN: binFolder };
  const built = spawnSync('nice', ['-n', '3', 'go', 'install', MODULE], {
    env,
    timeout: BUILD_MS,
    stdio: 'ignore',
  });
  return built.status === 0 && existsSync(program) ? program : null;
}

const program = versitygw();
if (program === null) {
  console.warn(
    `skipped: no versitygw (tests of s3:// will not run; 'go install ${MODULE}' into ${binFolder})`,
  );
}

/** Whether the S3 server can be started. */
export const hasS3 = program !== null;

export const ACCESS_KEY = 'tokensieve-test-access';
export const SECRET_KEY = 'tokensieve-test-secret-8d1f';

export interface S3Server {
  readonly endpoint: string;
  readonly bucket: string;
  /** What a process needs to reach it. */
  readonly env: Readonly<Record<string, string>>;
  /** Folder that holds the bucket's objects as files. */
  readonly folder: string;
  /** To be called in `afterAll`: a hook that is set within another hook is never run. */
  stop(): void;
}

/** Starts versitygw over a temporary folder, with one bucket. */
export async function s3Server(bucket = 'corpus'): Promise<S3Server> {
  if (program === null) throw new Error('no versitygw');
  const root = mkdtempSync(join(tmpdir(), 'tokensieve-s3-'));
  const data = join(root, 'data');
  const sidecar = join(root, 'sidecar');
  mkdirSync(join(data, bucket), { recursive: true });
  mkdirSync(sidecar);
  const port = await freePort();
  const child: ChildProcess = spawn(
    program,
    [
      '--port',
      `127.0.0.1:${port}`,
      '--access',
      ACCESS_KEY,
      '--secret',
      SECRET_KEY,
      '--quiet',
      'posix',
      '--sidecar',
      sidecar,
      data,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const stop = (): void => {
    child.kill('SIGKILL');
    rmSync(root, { recursive: true, force: true });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    const up = await fetch(endpoint).then(
      () => true,
      () => false,
    );
    if (up) break;
    if (child.exitCode !== null || tries > 300) {
      stop();
      throw new Error(`versitygw did not start: ${said}`);
    }
    await wait(100);
  }
  return {
    endpoint,
    bucket,
    folder: join(data, bucket),
    stop,
    env: {
      AWS_ACCESS_KEY_ID: ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT_URL_S3: endpoint,
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
