/** One kind of attacker, over and over until it is ended: node attackers.mjs KIND URL TOKEN. Told at the lowest priority. */
import { connect } from 'node:net';
import { constants, setPriority } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';

setPriority(0, constants.priority.PRIORITY_LOW);
const [, , kind, url, token, job] = process.argv;
const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
const post = (path, body, more = headers) => fetch(`${url}${path}`, { method: 'POST', headers: more, body });
const forever = async (act, pause = 0) => {
  for (;;) {
    await act().catch(() => undefined);
    await wait(pause);
  }
};
const many = (n, act, pause) => Promise.all(Array.from({ length: n }, () => forever(act, pause)));

const KINDS = {
  /** 0.9 MB of YAML in one map. */
  keys: () => {
    const body = JSON.stringify({
      pipeline: Array.from({ length: 90_000 }, (_, i) => `k${i}: 1\n`).join(''),
    });
    return many(2, async () => void (await (await post('/v1/jobs', body)).text()), 200);
  },
  /** A megabyte of YAML that is within the limits. */
  lists: () => {
    const body = JSON.stringify({
      pipeline: `shards: [${Array.from({ length: 90_000 }, (_, i) => `a${i}`).join(', ')}]`,
    });
    return many(2, async () => void (await (await post('/v1/plans', body)).text()), 200);
  },
  /** 900 stages over one folder. */
  stages: () => {
    const stages = Array.from({ length: 900 }, (_, i) => ({
      name: `s${i}`,
      audit: { run: 'many', out: `o${i}` },
    }));
    const few = JSON.stringify({ settings: { stages: stages.slice(0, 190) } });
    const body = JSON.stringify({ settings: { stages } });
    return Promise.all(
      [body, few].map((one) => forever(async () => void (await (await post('/v1/plans', one)).text()), 200)),
    );
  },
  /** Wrong tokens, and none. */
  tokens: () =>
    Promise.all([
      many(
        4,
        async () =>
          void (await (
            await post('/v1/score', '{}', { ...headers, authorization: 'Bearer wrong-wrong-wrong-wrong' })
          ).text()),
        20,
      ),
      many(
        4,
        async () =>
          void (await (
            await fetch(`${url}/v1/jobs`, { headers: { 'sec-fetch-site': 'cross-site' } })
          ).text()),
        20,
      ),
    ]),
  /** Bodies of 8 MB that never end, on 200 connections. */
  bodies: () => {
    const piece = Buffer.alloc(8_000_000, 'a');
    const { port } = new URL(url);
    return many(
      200,
      () =>
        new Promise((resolve) => {
          const socket = connect(Number(port), '127.0.0.1', () => {
            socket.write(
              `POST /v1/score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 8388600\r\n\r\n{"texts":["`,
            );
            socket.write(piece);
          });
          socket.on('error', resolve).on('close', resolve).resume();
        }),
      500,
    );
  },
  /** Eight clients that always have a large request under way. */
  large: () => {
    const texts = Array(60).fill('the cat sat on a mat and sum of 2 and 3 '.repeat(70));
    const body = JSON.stringify({ texts });
    return many(8, async () => void (await (await post('/v1/score', body)).arrayBuffer()), 10);
  },
  /** 250 that follow a job of 20,000 parts from its first line. */
  listeners: () =>
    many(
      250,
      async () => {
        const events = await fetch(`${url}/v1/jobs/${job}/events`, {
          headers: { ...headers, 'last-event-id': '0' },
        });
        for await (const _ of events.body ?? []);
      },
      500,
    ),
};
await KINDS[kind]();
