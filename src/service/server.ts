import type { Socket } from 'node:net';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import Fastify, { type FastifyBaseLogger } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { type Logger, pino } from 'pino';
import type { App } from './http/app.js';
import { boundBodies } from './http/bodies.js';
import { errorBody, sendError } from './http/errors.js';
import { addGuard, type GuardOptions } from './http/guard.js';
import { boundJson } from './http/json.js';
import { addOpenApi } from './http/openapi.js';
import { createMetrics } from './metrics.js';
import type { RouteContext } from './routes/context.js';
import { eventRoutes } from './routes/events.js';
import { healthRoutes } from './routes/health.js';
import { jobRoutes } from './routes/jobs.js';
import { metricsRoutes } from './routes/metrics.js';
import { outputRoutes } from './routes/outputs.js';
import { pageRoutes } from './routes/page.js';
import { planRoutes } from './routes/plans.js';
import type { ScoringStats } from './scoring/open.js';
import type { ServeSettings } from './settings.js';

const BODY_BYTES = 1 << 20;
/** Time a client has to send its request, and a handler to answer. */
const REQUEST_MS = 30_000;
/** Time between two looks for requests that take longer; Node's own is as long as the limit. */
const CHECKED_MS = 2_000;
const HANDLER_MS = 120_000;

export interface ServerOptions extends RouteContext {
  readonly version: string;
  readonly logger: Logger;
  readonly guard: GuardOptions;
  /** Addresses and networks of proxies that are believed. */
  readonly trustProxy: readonly string[];
  /** Bytes that all bodies under way may hold together. */
  readonly bodyBytes: number;
  readonly scoringStats: () => ScoringStats | null;
  /** Further routes, added like those here. */
  readonly addRoutes?: (app: App) => void | Promise<void>;
}

/** The service's log: JSON lines on stderr. Nothing that is a secret, or may hold one, is written. */
export const createLogger = (level: ServeSettings['log']): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: {
        // No headers, and no query: tickets are in it.
        req: ({ method, url, ip }: { method: string; url: string; ip: string }) => ({
          method,
          url: url.split('?', 1)[0],
          ip,
        }),
        res: ({ statusCode }: { statusCode: number }) => ({ status: statusCode }),
        err: pino.stdSerializers.err,
      },
    },
    process.stderr,
  );

/** The server with all its routes, not listening yet. */
export async function buildServer(options: ServerOptions): Promise<App> {
  const { version, logger, guard, trustProxy, bodyBytes, scoringStats, addRoutes } = options;
  const app = Fastify({
    loggerInstance: logger as FastifyBaseLogger,
    bodyLimit: BODY_BYTES,
    requestTimeout: REQUEST_MS,
    http: { headersTimeout: REQUEST_MS, connectionsCheckingInterval: CHECKED_MS },
    ...(trustProxy.length > 0 && { trustProxy: [...trustProxy] }),
    handlerTimeout: HANDLER_MS,
    // Streams are ended by the routes themselves, and files may be on their way.
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 4096 },
    frameworkErrors: (error, request, reply) => sendError(error, request, reply),
    clientErrorHandler,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    reply
      .code(404)
      .send(
        errorBody('not-found', `${request.method} ${request.url.split('?', 1)[0]}: there is nothing here`),
      );
  });
  // Bodies are JSON; a text/plain one could be sent by any page without being asked.
  app.removeContentTypeParser('text/plain');

  await app.register(helmet, {
    strictTransportSecurity: false,
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
  });
  await app.register(rateLimit, { global: false });
  addGuard(app, guard);
  boundBodies(app, bodyBytes);
  boundJson(app);
  await addOpenApi(app, version);
  const registry = createMetrics(app, options.jobs, scoringStats);

  healthRoutes(app, options, version);
  jobRoutes(app, options);
  eventRoutes(app, options);
  planRoutes(app, options);
  await outputRoutes(app, options);
  metricsRoutes(app, registry);
  await addRoutes?.(app);
  pageRoutes(app);
  return app;
}

/** What is no HTTP at all never becomes a request. */
function clientErrorHandler(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  const body = JSON.stringify(errorBody('bad-request', 'this is no HTTP request that can be read'));
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroy(error);
}
