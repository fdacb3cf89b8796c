import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { firstLine, TokensieveError, usageError } from '../errors.js';
import { claimFolder, type WriterClaim } from '../storage/folder-claim.js';
import { createTickets, readToken } from './http/token.js';
import { type Executors, openExecutors } from './jobs/executors.js';
import { openJobs } from './jobs/jobs.js';
import { openStore } from './jobs/store.js';
import { createParser } from './pipeline/parser.js';
import { openRoots } from './pipeline/roots.js';
import { createPlanner } from './plans/planner.js';
import { openScoring, type Scoring } from './scoring/open.js';
import { scoreRoutes } from './scoring/routes.js';
import { buildServer, createLogger } from './server.js';
import { isLoopback, type ServeSettings } from './settings.js';

export interface Service {
  /** Where it listens, such as `http://127.0.0.1:8787`. */
  readonly url: string;
  /** Stops taking work, hands back what is at work, ends streams, closes. */
  close(): Promise<void>;
}

/** Time streams and answers have to end after the jobs have stopped. */
const CLOSING_MS = 5000;

/**
 * Starts the service: takes up the jobs of the first root, then listens.
 * @throws TokensieveError whatever opening the models throws; (usage) `no-token`: not loopback, and no token;
 *   `bad-token-file`; `bad-root`; `no-executor`, `bad-redis`; `root-busy`: another service has this root; `not-listening`
 */
export async function openService(settings: ServeSettings, version: string): Promise<Service> {
  const { host, port, concurrency } = settings;
  const token = settings.token_file === undefined ? null : await readToken(settings.token_file);
  if (token === null && !isLoopback(host)) {
    throw usageError(
      'no-token',
      `--host ${host}: others can reach this address; give --token-file FILE, or listen on 127.0.0.1`,
    );
  }
  const executors = openExecutors(settings, process.env['TOKENSIEVE_REDIS_URL']);
  const roots = await openRoots(settings.roots);
  const folder = join(roots[0] ?? '.', 'jobs');
  const claim = await claimJobs(folder);
  let scoring: Scoring | null = null;
  try {
    const { score, models, preload } = settings;
    scoring = await openScoring({ ...score, models, preload });
    return await serve({
      settings,
      version,
      token,
      executors,
      roots,
      folder,
      claim,
      scoring,
      host,
      port,
      concurrency,
    });
  } catch (error) {
    await scoring?.close();
    await claim.release();
    throw error;
  }
}

interface Opened extends Pick<ServeSettings, 'host' | 'port' | 'concurrency'> {
  readonly settings: ServeSettings;
  readonly version: string;
  readonly token: string | null;
  readonly executors: Executors;
  readonly roots: readonly string[];
  /** Of all jobs. */
  readonly folder: string;
  readonly claim: WriterClaim;
  readonly scoring: Scoring;
}

async function serve(opened: Opened): Promise<Service> {
  const { settings, version, token, executors, roots, folder, claim, scoring, host, port, concurrency } =
    opened;
  const logger = createLogger(settings.log);
  const store = openStore(folder);
  const log = {
    info: (message: string) => logger.info(message),
    warn: (message: string) => logger.warn(message),
  };
  for (const message of scoring.warnings()) log.warn(message);
  const graceMs = settings.grace_seconds * 1000;
  const parser = createParser();
  const jobs = await openJobs({
    store,
    parser,
    places: { roots, jobs: folder },
    executors,
    concurrency,
    graceMs,
    log,
  });
  const planner = createPlanner(jobs, store, log.warn, settings.plans);
  const stopping = new AbortController();
  const tickets = createTickets();
  const app = await buildServer({
    jobs,
    executors,
    store,
    planner,
    tickets,
    submissions: settings.limits.submissions,
    stopping: stopping.signal,
    version,
    logger,
    guard: {
      token,
      tickets,
      hosts: hostNames(settings),
      wrongTokens: settings.limits.wrong_tokens,
    },
    trustProxy: settings.trust_proxy,
    bodyBytes: settings.memory * 2 ** 20,
    scoringStats: scoring.stats,
    addRoutes: (server) => scoreRoutes(server, scoring),
  });

  const close = async (): Promise<void> => {
    stopping.abort();
    await Promise.all([planner.close(), jobs.stop(), scoring.close(), parser.close()]);
    // Whoever is still being answered is cut off in the end.
    const late = setTimeout(() => app.server.closeAllConnections(), CLOSING_MS);
    await app.close();
    clearTimeout(late);
    await claim.release();
  };

  try {
    await app.listen({ host, port });
  } catch (error) {
    await close().catch(() => undefined);
    throw usageError(
      'not-listening',
      `--host ${host} --port ${port}: cannot listen there: ${firstLine(error)}`,
      {
        cause: error,
      },
    );
  }
  const { address, port: taken, family } = app.server.address() as AddressInfo;
  return { url: `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`, close };
}

/** Names that requests may use; any, where others may reach the service and none is configured. */
function hostNames({ host, hosts }: ServeSettings): readonly string[] | null {
  const given = hosts.map((name) => name.toLowerCase());
  if (!isLoopback(host)) return given.length > 0 ? given : null;
  return ['localhost', '127.0.0.1', '[::1]', ...given];
}

/** One service a root: two would run one job twice. */
async function claimJobs(folder: string): Promise<WriterClaim> {
  try {
    return await claimFolder(folder, randomBytes(8).toString('hex'));
  } catch (error) {
    if (!(error instanceof TokensieveError) || error.code !== 'folder-busy') throw error;
    throw usageError(
      'root-busy',
      `${folder}: another service has these jobs; stop it, or choose another --root`,
      {
        cause: error,
      },
    );
  }
}
