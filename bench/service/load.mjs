/**
 * The scoring service under load.
 *
 *   npm run build && make run && node bench/service/load.mjs [--clients 200] [--seconds 60] [--models runs/quickstart]
 *     [--shards '../shared/data/shards/…'] [--texts 1500] [--warm-up 10] [--queue-tokens N]
 *
 * 200 clients post requests of one to four texts of 20 to 3,000 characters to `/v1/score` of a real `tokensieve serve`,
 * each its next as soon as it has an answer. Before and after, the offline scorer (`tokensieve score`, document packing,
 * as many threads) scores the same texts. Figures:
 *   answers     by status; anything but 200 and 429 is a failure
 *   latency     milliseconds, whole request
 *   rss         of the server when it is loaded, after the warm-up, highest and last; growth is last − after warm-up
 *   lag         of the service's event loop from the warm-up on
 *   efficiency  tokens/s that the service counts between the warm-up and the end over tokens/s of the offline scorer
 *               (mean of before and after), tokens of rows on both sides; and the same with seconds of CPU of the two
 *               processes, which other loads and the clients touch less
 *   losses      the largest difference of a sampled answer's losses from the offline ones
 * Exits with 1 when an answer or a loss is wrong, or memory grows by more than 100 MB.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { quantile } from '../support/measure.mjs';
import { runClients } from './clients.mjs';
import { readOffline, scoreOffline } from './offline.mjs';
import { cpuOf, metrics, rssOf, startServer } from './server.mjs';
import { mixedTexts, uniforms } from './texts.mjs';

const GOALS = { efficiency: 0.8, growthMb: 100, loss: 1e-4 };

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '60' },
    'warm-up': { type: 'string', default: '10' },
    models: { type: 'string', default: 'runs/quickstart' },
    'max-tokens': { type: 'string', default: '512' },
    shards: { type: 'string', default: '../shared/data/shards/mathweb-00000-of-00004.parquet' },
    texts: { type: 'string', default: '1500' },
    seed: { type: 'string', default: '1' },
    // A smaller queue than the default, so that requests are refused.
    'queue-tokens': { type: 'string' },
    // Another program that understands the flags of `serve` and says where it listens.
    program: { type: 'string' },
  },
});
const number = (name) => Number(values[name]);

const models = {
  reference: join(values.models, 'reference/model'),
  current: join(values.models, 'base/model'),
  maxTokens: number('max-tokens'),
  // As the service shares the cores out between the two models.
  threads: Math.max(1, Math.floor(availableParallelism() / 2)),
};

/** Requests of one to four texts, every text once. */
function requestsOf(texts, seed) {
  const next = uniforms(seed);
  const requests = [];
  for (let at = 0; at < texts.length; ) {
    const indices = Array.from({ length: 1 + Math.floor(next() * 4) }, (_, i) => at + i).filter(
      (index) => index < texts.length,
    );
    at += indices.length;
    const body = Buffer.from(JSON.stringify({ texts: indices.map((index) => texts[index]) }));
    requests.push({ indices, body });
  }
  return requests;
}

/** Largest difference between an answer's losses and the offline ones; Infinity where anything else differs. */
function worstLoss({ request, body }, offline) {
  const { results } = JSON.parse(body.toString());
  let worst = 0;
  request.indices.forEach((index, i) => {
    const { tokens } = results[i];
    const { ids, reference, current } = offline[index];
    if (tokens.id.length !== ids.length) worst = Number.POSITIVE_INFINITY;
    tokens.id.forEach((id, t) => {
      for (const [here, there] of [
        [tokens.reference_loss[t], reference[t]],
        [tokens.current_loss[t], current[t]],
      ]) {
        const same = id === ids[t] && (here === null) === Number.isNaN(there);
        if (!same) worst = Number.POSITIVE_INFINITY;
        else if (here !== null) worst = Math.max(worst, Math.abs(here - there));
      }
    });
  });
  return worst;
}

const mb = (bytes) => Math.round(bytes / 1e6);
const print = (what, figures) => console.log(`${what.padEnd(12)}${JSON.stringify(figures)}`);

async function main(folder) {
  const { source, texts } = await mixedTexts(values.shards, number('texts'), number('seed'));
  const requests = requestsOf(texts, number('seed') + 1);
  const before = await scoreOffline(texts, models, folder, 'before');
  const offline = await readOffline(before.out, texts.length, models.maxTokens);
  const tokensOf = requests.map(({ indices }) =>
    indices.reduce((sum, index) => sum + offline[index].ids.length, 0),
  );
  const tokens = tokensOf.reduce((a, b) => a + b);
  const rowTokens = offline.reduce((sum, document) => sum + document.rowTokens, 0);
  print('texts', {
    source,
    texts: texts.length,
    requests: requests.length,
    tokens,
    rowTokens,
    tokensARequest: [0.05, 0.5, 0.95].map((share) => quantile(tokensOf, share)),
  });

  const server = await startServer(models, folder, {
    program: values.program,
    score: {
      device: 'cpu',
      ...(values['queue-tokens'] && {
        queue_tokens: number('queue-tokens'),
        request_tokens: number('queue-tokens'),
      }),
    },
  });
  const rss = { loaded: rssOf(server.pid), warm: 0, highest: 0, last: 0 };
  const own = process.cpuUsage();
  const marks = [];
  const mark = async () => {
    const [scored, ...lag] = await metrics(server.url, [
      'tokensieve_score{figure="scored_tokens"}',
      'nodejs_eventloop_lag_p50_seconds',
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_eventloop_lag_max_seconds',
    ]);
    marks.push({ at: performance.now() / 1000, scored, cpu: cpuOf(server.pid), lag });
  };
  const statuses = {};
  const latencies = [];
  const sampled = [];
  setTimeout(() => {
    rss.warm = rssOf(server.pid);
    void mark();
  }, number('warm-up') * 1000);
  // While every client still has a request at work: what is left at the end is not measured.
  setTimeout(mark, number('seconds') * 1000);
  const watch = setInterval(() => {
    rss.highest = Math.max(rss.highest, rssOf(server.pid));
  }, 500);
  const began = performance.now();
  await runClients(
    {
      url: server.url,
      requests,
      clients: number('clients'),
      seconds: number('seconds'),
      sampleEvery: 20,
    },
    (answer) => {
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
      if (answer.status !== 200) return;
      latencies.push(answer.ms);
      if (answer.body !== null) sampled.push(answer);
    },
  );
  clearInterval(watch);
  const wall = (performance.now() - began) / 1000;
  const used = process.cpuUsage(own);
  const serverCpu = cpuOf(server.pid);
  rss.last = rssOf(server.pid);
  const code = await server.stop();
  const after = await scoreOffline(texts, models, folder, 'after');

  const [warm, end] = marks;
  const rate = (end.scored - warm.scored) / (end.at - warm.at);
  const byCpu = (end.scored - warm.scored) / (end.cpu - warm.cpu);
  const rates = [before, after].map(({ seconds }) => rowTokens / seconds);
  const cpuRates = [before, after].map(({ cpuSeconds }) => rowTokens / cpuSeconds);
  const mean = (list) => list.reduce((a, b) => a + b) / list.length;
  const efficiency = rate / mean(rates);
  const growth = mb(rss.last - rss.warm);
  const worst = sampled.map((answer) => worstLoss(answer, offline)).reduce((a, b) => Math.max(a, b), 0);
  const wrong = Object.keys(statuses).filter((status) => status !== '200' && status !== '429');

  print('answers', statuses);
  print('latency', {
    p50: Math.round(quantile(latencies, 0.5)),
    p95: Math.round(quantile(latencies, 0.95)),
    p99: Math.round(quantile(latencies, 0.99)),
  });
  print('rss MB', Object.fromEntries(Object.entries(rss).map(([name, bytes]) => [name, mb(bytes)])));
  const [p50, p99, max] = end.lag.map((seconds) => seconds && Math.round(seconds * 1000));
  print('lag ms', { p50, p99, max });
  print('cpu', {
    cores: availableParallelism(),
    clientsShareOfACore: Number(((used.user + used.system) / 1e6 / wall).toFixed(2)),
    serverShareOfACore: Number((serverCpu / wall).toFixed(2)),
    loadAverage: loadavg().map((load) => Number(load.toFixed(1))),
  });
  print('tokens/s', {
    service: Math.round(rate),
    offlineBefore: Math.round(rates[0]),
    offlineAfter: Math.round(rates[1]),
  });
  print('tokens/CPU s', {
    service: Math.round(byCpu),
    offlineBefore: Math.round(cpuRates[0]),
    offlineAfter: Math.round(cpuRates[1]),
  });

  const verdicts = [
    [
      'answers',
      wrong.length === 0 && code === 0,
      `only 200 and 429${wrong.length ? `, found ${wrong}` : ''}`,
    ],
    [
      'losses',
      worst < GOALS.loss,
      `${sampled.length} sampled, largest difference ${worst.toExponential(1)} (goal below ${GOALS.loss})`,
    ],
    ['memory', growth <= GOALS.growthMb, `${growth} MB above the warm-up (goal at most ${GOALS.growthMb})`],
    [
      'efficiency',
      efficiency >= GOALS.efficiency,
      `${efficiency.toFixed(2)} by wall time (goal at least ${GOALS.efficiency}), ${(byCpu / mean(cpuRates)).toFixed(2)} by CPU time`,
    ],
  ];
  for (const [what, met, words] of verdicts)
    console.log(`${what.padEnd(12)}${met ? 'met' : 'NOT MET'}: ${words}`);
  // Speed depends on what else the machine does; the others do not.
  process.exitCode = verdicts.slice(0, 3).every(([, met]) => met) ? 0 : 1;
}

if (!existsSync(models.reference)) {
  console.error(`skipped: no models in ${values.models}; make run makes them`);
} else {
  const folder = mkdtempSync(join(tmpdir(), 'tokensieve-load-'));
  try {
    await main(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
