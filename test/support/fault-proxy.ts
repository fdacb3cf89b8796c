import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';
import type { Fault } from './file-server.js';

export interface FaultProxy {
  readonly url: string;
  /** Faults that were put in, by kind. */
  readonly faults: Record<string, number>;
  /** Asked before each request is passed on. Statuses are answered at once; the others spoil the store's answer. */
  fault: (request: IncomingMessage) => Fault | undefined;
  /** Waited for before each request is passed on. */
  held: (request: IncomingMessage) => Promise<void> | undefined;
  /** May change the entity tag of an answer. */
  etag: (request: IncomingMessage, etag: string) => string;
}

/** A reverse proxy in front of a store, which lets the client's Host header stand: signatures cover it. */
export async function faultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const server = createServer(async (incoming, response) => {
    const fault = self.fault(incoming);
    if (fault !== undefined) self.faults[fault.kind] = (self.faults[fault.kind] ?? 0) + 1;
    if (fault?.kind === 'status') {
      incoming.resume();
      incoming.on('end', () => response.writeHead(fault.status, fault.headers).end());
      return;
    }
    await self.held(incoming);
    const { method, url, headers } = incoming;
    const outgoing = request({ hostname, port, method, path: url, headers }, (answer) => {
      // What the store did stands; the client does not hear of it.
      if (fault?.kind === 'reset') {
        answer.resume();
        incoming.socket.destroy();
        return;
      }
      const { etag } = answer.headers;
      const tags = etag === undefined ? {} : { etag: self.etag(incoming, etag) };
      response.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...tags });
      if (fault?.kind !== 'truncated') {
        answer.pipe(response);
        return;
      }
      answer.once('data', (piece: Buffer) => {
        response.write(piece.subarray(0, Math.floor(piece.length / 2)), () => incoming.socket.destroy());
        answer.destroy();
      });
      answer.once('end', () => incoming.socket.destroy());
    });
    outgoing.on('error', () => incoming.socket.destroy());
    incoming.on('error', () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const self: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults: {},
    fault: () => undefined,
    held: () => undefined,
    etag: (_, etag) => etag,
  };
  return self;
}
