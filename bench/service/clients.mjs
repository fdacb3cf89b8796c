/** Clients that post one request after the other, each on a connection of its own. */
import { Agent, request } from 'node:http';

/** Posts a body that is JSON already; `keep` says whether the answer is returned, or read and dropped. */
function post(url, agent, body, keep) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const call = request(`${url}/v1/score`, { method: 'POST', agent, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => keep && chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          retryAfter: Number(response.headers['retry-after'] ?? Number.NaN),
          body: keep ? Buffer.concat(chunks) : null,
        }),
      );
    });
    call.on('error', reject);
    call.end(body);
  });
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Runs `clients` of them until `seconds` are over. After a 429 a client waits as it was told.
 * @param requests bodies (Buffer) with the indices of their texts; taken in turn, over and over
 * @param onAnswer called with request, status, milliseconds, the time since the start, and the body of one in
 *   `sampleEvery` answers
 */
export async function runClients({ url, requests, clients, seconds, sampleEvery }, onAnswer) {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const started = performance.now();
  const end = started + seconds * 1000;
  let next = 0;
  const client = async () => {
    while (performance.now() < end) {
      const index = next++;
      const one = requests[index % requests.length];
      const from = performance.now();
      let answer;
      try {
        answer = await post(url, agent, one.body, index % sampleEvery === 0);
      } catch (error) {
        answer = { status: String(error.code ?? error.message), body: null };
      }
      const now = performance.now();
      onAnswer({ request: one, ...answer, ms: now - from, at: (now - started) / 1000 });
      if (answer.status === 429) await sleep(Math.min(answer.retryAfter * 1000, Math.max(0, end - now)));
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  agent.destroy();
}
