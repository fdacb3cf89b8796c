import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';

/** What goes wrong with one answer. Nothing: undefined. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** The whole length is announced, half of the body comes. */
  | { readonly kind: 'truncated' }
  | { readonly kind: 'reset' }
  /** A byte now and then. */
  | { readonly kind: 'slow' };

export interface Served {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly at: number;
  readonly status: number;
  /** Bytes of the body. */
  readonly bytes: number;
}

export interface FileServer {
  readonly url: string;
  /** By path, beginning with a slash. */
  readonly files: Map<string, Uint8Array>;
  readonly served: Served[];
  /** Asked before each answer. */
  fault: (request: IncomingMessage, nth: number) => Fault | undefined;
  /** Answers that no file has: listings, redirects. True when it answered. */
  handle: (request: IncomingMessage, response: ServerResponse) => boolean;
  ranges: boolean;
}

const etagOf = (bytes: Uint8Array): string =>
  `"${createHash('sha256').update(bytes).digest('hex').slice(0, 24)}"`;

/** A real web server on loopback: ranges, entity tags, conditions, and faults on demand. */
export async function fileServer(): Promise<FileServer> {
  const files = new Map<string, Uint8Array>();
  const served: Served[] = [];
  const server = createServer((request, response) => {
    const note = (status: number, bytes: number): void => {
      const { method = '', url = '', headers } = request;
      served.push({ method, url, headers, at: performance.now(), status, bytes });
    };
    const fault = self.fault(request, served.length);
    if (fault?.kind === 'status') {
      note(fault.status, 0);
      response.writeHead(fault.status, fault.headers).end();
      return;
    }
    if (fault?.kind === 'reset') {
      note(0, 0);
      request.socket.destroy();
      return;
    }
    if (self.handle(request, response)) {
      note(response.statusCode, 0);
      return;
    }
    const whole = files.get((request.url ?? '').replace(/\?.*/, ''));
    if (whole === undefined) {
      note(404, 0);
      response.writeHead(404).end();
      return;
    }
    const etag = etagOf(whole);
    const wanted = request.headers['if-match'];
    if (wanted !== undefined && wanted !== etag) {
      note(412, 0);
      response.writeHead(412, { ETag: etag }).end();
      return;
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    let body = whole;
    let status = 200;
    const headers: Record<string, string | number> = { ETag: etag };
    if (self.ranges && first !== undefined) {
      if (Number(first) >= whole.length) {
        note(416, 0);
        response.writeHead(416, { 'Content-Range': `bytes */${whole.length}` }).end();
        return;
      }
      status = 206;
      const end = Math.min(Number(last) + 1, whole.length);
      body = whole.subarray(Number(first), end);
      headers['Content-Range'] = `bytes ${first}-${end - 1}/${whole.length}`;
    }
    note(status, body.length);
    response.writeHead(status, { ...headers, 'Content-Length': body.length });
    if (request.method === 'HEAD') response.end();
    else if (fault?.kind === 'truncated') {
      response.write(body.subarray(0, Math.floor(body.length / 2)), () => request.socket.destroy());
    } else if (fault?.kind === 'slow') {
      let at = 0;
      const timer = setInterval(() => response.write(body.subarray(at, ++at)), 50);
      response.on('close', () => clearInterval(timer));
    } else response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const self: FileServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    served,
    fault: () => undefined,
    handle: () => false,
    ranges: true,
  };
  return self;
}
