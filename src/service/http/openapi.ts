import swagger from '@fastify/swagger';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { App } from './app.js';

/** Collects the schemas of every route added from now on; `/openapi.json` gives them. */
export async function addOpenApi(app: App, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'tokensieve service',
        description: 'Jobs, their outputs, and scores of texts. Every error is { error: { code, message } }.',
        version,
      },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'Needed when the service has a token' },
        },
      },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => corrected(withoutUnused(jsonSchemaTransformObject(document))),
  });
  app.get('/openapi.json', { config: { open: true }, schema: { hide: true } }, async (_, reply) =>
    reply.type('application/json; charset=utf-8').send(JSON.stringify(app.swagger())),
  );
}

/** The document with what the generator gets wrong put right: the name of a wildcard, and bodies that may be left out. */
function corrected<T extends object>(document: T): T {
  return JSON.parse(
    JSON.stringify(document).replaceAll('/{*}"', '/{path}"').replaceAll('"name":"*"', '"name":"path"'),
    (key, value) =>
      key === 'requestBody' && JSON.stringify(value).includes('{"type":"null"}')
        ? { ...value, required: false }
        : value,
  );
}

/** The document without components that nothing refers to: each schema comes as input and as output. */
function withoutUnused<T extends object>(document: T): T {
  const { components, ...rest } = document as { components?: { schemas?: Record<string, unknown> } };
  const schemas = components?.schemas ?? {};
  const used = new Set<string>();
  const collect = (value: unknown): void => {
    for (const [, name = ''] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      collect(schemas[name]);
    }
  };
  collect(rest);
  const kept = Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)));
  return { ...document, components: { ...components, schemas: kept } };
}
