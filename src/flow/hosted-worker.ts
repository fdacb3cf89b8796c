/**
 * Worker threads that live in a process of their own, for work that can end a process without a word: a file that is mapped into
 * memory and cut short does (SIGBUS), and no thread of the process outlives it. The parent is left to say what happened. One
 * process has all of them; it stays for the next ones and ends with this one, however this one ends.
 */
import '../no-telemetry.js';
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type CallPort, openCalls, type WorkerCalls, type WorkerReply } from './worker-calls.js';

/** What is sent to the process of workers. */
export type HostRequest =
  | { readonly kind: 'start'; readonly worker: number; readonly script: string; readonly data: unknown }
  | { readonly kind: 'post'; readonly worker: number; readonly message: object }
  | { readonly kind: 'end'; readonly worker: number };

/** What it says of a worker. */
export type HostReply =
  | { readonly kind: 'message'; readonly worker: number; readonly message: unknown }
  | { readonly kind: 'error'; readonly worker: number; readonly message: string }
  | { readonly kind: 'exit'; readonly worker: number; readonly code: number };

interface Host {
  readonly child: ChildProcess;
  /** Of the process when the host was started: what native libraries read of it is settled then. */
  readonly environment: string;
  readonly workers: Map<number, Listener>;
  send(request: HostRequest): void;
}

interface Listener {
  message(reply: unknown): void;
  error(message: string): void;
  ended(reason: string): void;
}

const hosts = new Set<Host>();
let nextWorker = 0;

/**
 * Starts a worker of native code there and waits until it is ready, as `openWorkerCalls` does here.
 * @param data its `workerData`
 */
export function openHostedCalls<Request extends object, Reply extends WorkerReply>(
  script: URL,
  data: unknown,
  fail: (reason: string) => Error,
): Promise<WorkerCalls<Request, Reply>> {
  const host = hostNow();
  const worker = nextWorker++;
  const listeners = { reply: [] as ((message: Reply) => void)[], error: [] as ((cause: unknown) => void)[] };
  const ends: ((reason: string) => void)[] = [];
  let isOver = false;
  host.workers.set(worker, {
    message: (message) => {
      for (const tell of listeners.reply) tell(message as Reply);
    },
    error: (message) => {
      for (const tell of listeners.error) tell(new Error(message));
    },
    ended(reason) {
      isOver = true;
      host.workers.delete(worker);
      hold(host);
      for (const tell of ends) tell(reason);
    },
  });
  hold(host);
  host.send({ kind: 'start', worker, script: script.href, data });
  const port: CallPort<Reply> = {
    onReply: (reply) => listeners.reply.push(reply),
    onError: (error) => listeners.error.push(error),
    onEnd: (ended) => ends.push(ended),
    post: (message) => host.send({ kind: 'post', worker, message }),
    async end() {
      if (isOver) return;
      const over = new Promise<void>((resolve) => ends.push(() => resolve()));
      host.send({ kind: 'end', worker });
      await over;
    },
  };
  return openCalls<Request, Reply>(port, fail, { native: true });
}

/** This process waits for one that has workers, and for no other. */
function hold({ child, workers }: Host): void {
  if (workers.size > 0) {
    child.ref();
    child.channel?.ref();
  } else {
    child.unref();
    child.channel?.unref();
  }
}

function hostNow(): Host {
  const environment = JSON.stringify(process.env);
  for (const host of hosts) {
    if (host.environment === environment) return host;
    if (host.workers.size === 0) {
      hosts.delete(host);
      host.child.disconnect();
    }
  }
  return startHost(environment);
}

function startHost(environment: string): Host {
  const child = fork(fileURLToPath(new URL('./worker-host-main.js', import.meta.url)), [], {
    // Flags of the process (a script read from standard input, say) are not the child's.
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const host: Host = {
    child,
    environment,
    workers: new Map(),
    // Of one that has gone the end is told.
    send: (request) => void child.send(request, () => undefined),
  };
  hosts.add(host);
  const end = (reason: string): void => {
    hosts.delete(host);
    for (const { ended } of [...host.workers.values()]) ended(reason);
  };
  child.on('message', (reply: HostReply) => {
    const listener = host.workers.get(reply.worker);
    if (reply.kind === 'message') listener?.message(reply.message);
    else if (reply.kind === 'error') listener?.error(reply.message);
    else listener?.ended(`its thread ended with code ${reply.code}`);
  });
  child.on('error', (error) => end(error.message));
  child.on('exit', (code, signal) =>
    end(signal === null ? `its process ended with code ${code}` : wordsOf(signal)),
  );
  return host;
}

/** What a signal means for a process that computes with mapped files. */
function wordsOf(signal: NodeJS.Signals): string {
  if (signal === 'SIGBUS') {
    return 'its process was ended by SIGBUS: a file that it had mapped was emptied or cut short, or its disk failed; leave the files of a model alone while it is used';
  }
  return signal === 'SIGKILL'
    ? 'its process was killed (SIGKILL), as the system does where memory runs out'
    : `its process was ended by ${signal}`;
}
