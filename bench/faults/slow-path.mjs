/** A way to a port that delays every byte and cuts each connection after a while. */
import { connect, createServer } from 'node:net';

/** @param delay,jitter milliseconds each way · @param lifetime of a connection at most, in milliseconds */
export async function openSlowPath({ port, random, delay, jitter, lifetime }) {
  let cuts = 0;
  const open = new Set();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    const end = () => {
      near.destroy();
      far.destroy();
      open.delete(near);
    };
    open.add(near);
    const timer = setTimeout(
      () => {
        cuts++;
        end();
      },
      lifetime * (0.3 + 0.7 * random()),
    );
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      // In order: what comes later is never let through earlier.
      let last = 0;
      from.on('data', (bytes) => {
        last = Math.max(last, Date.now() + delay + jitter * random());
        setTimeout(() => to.destroyed || to.write(bytes), last - Date.now());
      });
      from.on('error', end);
      from.on('close', () => {
        clearTimeout(timer);
        end();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    cuts: () => cuts,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
