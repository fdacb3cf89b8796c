import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { openApi, textOf } from '../../schemas/generate.mjs';
import { temporaryFolder } from '../support/quickstart.js';
import { EMPTY_PIPELINE, seedJob, serviceHere } from './in-process.js';
import { arbitraryOf, type Schema } from './json-schema-arbitrary.js';
import type { Ask } from './server.js';

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly schema: Schema;
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>;
interface Operation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const document = JSON.parse(
  readFileSync(new URL('../../schemas/openapi.json', import.meta.url), 'utf8'),
) as Document;

it('schemas/openapi.json is as the routes say: run node schemas/generate.mjs after a change', async () => {
  const text = readFileSync(new URL('../../schemas/openapi.json', import.meta.url), 'utf8');
  expect(text).toBe(textOf(await openApi()));
  expect(document.openapi).toBe('3.1.0');
});

/** A pipeline that is taken; a job of it fails as soon as it looks into the model. */
const ACCEPTED = 'shards: [shard.jsonl]\nreference: model\n';
const ACCEPTED_REQUEST = { url: '/v1/jobs', headers: {}, body: { pipeline: ACCEPTED } };

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);
// Deleting comes last: the others need something to look at.
operations.sort((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'));
const nameOf = ({ method, path }: { method: string; path: string }): string => `${method} ${path}`;

describe('every answer is one of those that the document names', () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema(document, 'api');
  const resolve = (ref: string): Schema => {
    const found = document.components.schemas[ref.split('/').at(-1) ?? ''];
    if (found === undefined) throw new Error(`${ref} leads nowhere`);
    return found;
  };

  const ids = {
    done: '20260101t000000-0001',
    failed: '20260101t000000-0002',
    cancelled: '20260101t000000-0003',
  };
  let ask: Ask;
  beforeAll(async () => {
    const root = temporaryFolder();
    for (const [state, id] of Object.entries(ids)) {
      const folder = await seedJob(root, id, state as keyof typeof ids);
      writeFileSync(join(folder, 'notes.txt'), 'some words');
      mkdirSync(join(folder, 'audit'));
      writeFileSync(join(folder, 'audit/report.html'), '<p>a report</p>');
      writeFileSync(join(folder, 'audit/audit.json'), '{}');
    }
    writeFileSync(join(root, 'shard.jsonl'), '{"text":"a"}\n');
    mkdirSync(join(root, 'model'));
    ({ ask } = await serviceHere({ limits: { submissions: 1_000_000 } }, root));
  });

  const garbage = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
    fc.constantFrom(
      '..',
      '.',
      '%00',
      '../..',
      '%2e%2e%2f',
      '-1',
      '1e99',
      'null',
      '[]',
      '__proto__',
      'constructor',
    ),
  );
  /** Ids of jobs that were accepted, the newest last. */
  const accepted: string[] = [];
  const NEWEST = /^newest-(\d)$/;
  const jobId = fc.oneof(
    { weight: 2, arbitrary: fc.nat(3).map((back) => `newest-${back}`) },
    { weight: 6, arbitrary: fc.constantFrom(...Object.values(ids)) },
    { weight: 1, arbitrary: fc.constant('20991231t235959-ffff') },
    { weight: 1, arbitrary: garbage },
  );
  const settings = fc.oneof(
    fc.constant(EMPTY_PIPELINE),
    fc.constant('shards: [/etc/passwd]\nreference: /etc\n'),
    fc.constant(
      'stages: [{ report: { out: x.html, arms: {}, baseline: a, sections: [{ module: /x.mjs }] } }]',
    ),
    fc.string({ unit: 'grapheme', maxLength: 60 }),
  );

  const textOfParameter = ({ name, schema }: Parameter): fc.Arbitrary<string> => {
    if (name === 'id' || name === 'before') return jobId;
    if (name === 'path')
      return fc.oneof(fc.constantFrom('notes.txt', 'log.jsonl', 'job.json', 'out'), garbage);
    return fc.oneof(
      { weight: 4, arbitrary: arbitraryOf(schema, resolve).map(String) },
      { weight: 1, arbitrary: garbage },
    );
  };

  /** A job that was accepted, where one is meant. */
  const known = (id: string): string => {
    const [, back] = NEWEST.exec(id) ?? [];
    return (back === undefined ? id : accepted.at(-1 - Number(back))) ?? ids.done;
  };

  const request = ({ path, operation }: (typeof operations)[number]) => {
    const parameters = operation.parameters ?? [];
    const of = (place: Parameter['in']) =>
      fc.record(
        Object.fromEntries(
          parameters.filter((one) => one.in === place).map((one) => [one.name, textOfParameter(one)]),
        ),
        {
          requiredKeys:
            place === 'path' ? parameters.filter((one) => one.in === 'path').map(({ name }) => name) : [],
        },
      );
    const schema = operation.requestBody?.content['application/json']?.schema;
    const body =
      schema === undefined
        ? fc.constant(undefined)
        : fc.oneof(
            { weight: 3, arbitrary: arbitraryOf(schema, resolve) },
            { weight: 3, arbitrary: settings.map((pipeline) => ({ pipeline })) },
            {
              weight: 1,
              arbitrary: fc.constantFrom({ path: 'notes.txt' }, { path: '../job.json' }, {}, undefined),
            },
            { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
            { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
          );
    const parts = fc.record({ path: of('path'), query: of('query'), header: of('header'), body });
    return parts.map((parts) => () => {
      const filled = path.replace(/\{(\w+)\}/g, (_, name: string) =>
        encodeURIComponent(known(wellFormed(parts.path[name] ?? ''))),
      );
      const query = new URLSearchParams(
        Object.entries(parts.query).map(([name, value]): [string, string] => [name, String(value)]),
      ).toString();
      const headers = Object.fromEntries(
        Object.entries(parts.header).map(([name, value]) => [
          name,
          encodeURIComponent(wellFormed(String(value))),
        ]),
      );
      return { url: query === '' ? filled : `${filled}?${query}`, headers, body: parts.body };
    });
  };

  it.each(operations.map((one) => [nameOf(one), one] as const))(
    '%s',
    { timeout: 120_000 },
    async (_, one) => {
      const statuses = new Map<number, number>();
      if (one.path.endsWith('/cancel')) {
        for (let i = 0; i < 4; i++) {
          const { body } = await ask('POST', '/v1/jobs', { pipeline: ACCEPTED });
          accepted.push(body.id);
        }
      }
      await fc.assert(
        fc.asyncProperty(request(one), async (next) => {
          const { url, headers, body } = next();
          const answer = await ask(one.method, url, body, headers);
          const { status } = answer;
          if (status === 201) accepted.push(answer.body.id);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          // `.` and `..` are gone from an address before it is sent.
          const isElsewhere = new URL(url, 'http://x').pathname !== url.split('?', 1)[0];
          expect(status).not.toBe(500);
          if (isElsewhere) return;
          const documented = one.operation.responses[String(status)];
          expect(documented, `${one.method} ${url}: ${status} ${JSON.stringify(answer.body)}`).toBeDefined();
          const type = answer.headers.get('content-type')?.split(';', 1)[0] ?? '';
          const schema = documented?.content?.['application/json'];
          if (status === 204) expect(answer.body).toBe('');
          if (schema === undefined) return;
          expect(type).toBe('application/json');
          const pointer = ['paths', one.path, one.method.toLowerCase(), 'responses', String(status)]
            .map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1'))
            .map(encodeURIComponent)
            .join('/');
          const validate = ajv.compile({ $ref: `api#/${pointer}/content/application~1json/schema` });
          expect(validate(answer.body), JSON.stringify([answer.body, validate.errors])).toBe(true);
        }),
        // Few are accepted: each starts a process.
        { numRuns: 60, examples: nameOf(one) === 'POST /v1/jobs' ? [[() => ACCEPTED_REQUEST]] : [] },
      );
      // A plan that is right takes seconds, and there are no models: jobs.test.ts and scoring.test.ts ask for those.
      if (!['/v1/plans', '/v1/score'].includes(one.path))
        expect(Math.min(...statuses.keys()), nameOf(one)).toBeLessThan(300);
    },
  );
});

/** Half a surrogate pair is in no address. */
const wellFormed = (text: string): string => Buffer.from(text).toString();
