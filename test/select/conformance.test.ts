import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { selectiveLoss } from '#tokensieve/select/loss.js';
import { METHODS } from '#tokensieve/select/methods.js';
import { createSelection } from '#tokensieve/select/selection.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { select, type VectorPart } from './support.js';

const folder = fileURLToPath(new URL('../../conformance/vectors/', import.meta.url));

const losses = z
  .array(z.number().nullable())
  .describe('Nats a token; null where there is no loss (NaN in the files).');

/** The format that conformance/README.md describes; schemas/conformance-vector.json is made from it. */
const vectorSchema = z
  .strictObject({
    about: z.string(),
    settings: z
      .record(z.string(), z.unknown())
      .describe('Select settings by schemas/select.json; defaults are left out.'),
    parts: z
      .array(
        z.strictObject({
          shard: z.string(),
          part: z.int().min(0),
          rows: z.array(
            z.strictObject({
              id: z.int().min(0).optional().describe('Sequence id; the place in the list when absent.'),
              reference_loss: losses.optional(),
              current_loss: losses.optional(),
              reference_entropy: losses.optional(),
              current_entropy: losses.optional(),
              documents: z
                .array(z.tuple([z.int().min(0), z.int().min(0)]))
                .optional()
                .describe('[document, tokens] runs that cover the row; one document 0 when absent.'),
            }),
          ),
          domains: z.record(z.string(), z.string().nullable()).optional().describe('Domain by document.'),
        }),
      )
      .describe('In global order: it decides ties.'),
    expected: z.union([
      z.strictObject({
        weights: z.array(z.array(z.array(z.number()))).describe('[parts][rows][tokens]'),
        normaliser: z.enum(['weights', 'eligible']),
        loss: z
          .number()
          .nullable()
          .describe('Over all parts, of the current loss; null without one, or where the divisor is 0.'),
      }),
      z.strictObject({ error: z.string().describe('Code of the refusal.') }),
    ]),
  })
  .describe('One case of token selection: losses in, weights out.');

const vectors = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => ({
    name: name.slice(0, -'.json'.length),
    ...vectorSchema.parse(JSON.parse(readFileSync(folder + name, 'utf8'))),
  }));

/** fp32 weights; exp and log of two languages may differ in the last place. */
const near = (value: number): unknown =>
  Number.isInteger(value) ? value : expect.closeTo(value, 6 - Math.ceil(Math.log10(Math.abs(value) + 1e-9)));

describe('conformance vectors', () => {
  it.each(vectors)('$name: $about', async ({ settings, parts, expected }) => {
    const read: readonly VectorPart[] = parts;
    if ('error' in expected) {
      await expect(select(settings, read)).rejects.toMatchObject({ code: expected.error });
      return;
    }
    const { weights } = await select(settings, read);
    expect(weights).toEqual(expected.weights.map((rows) => rows.map((row) => row.map(near))));

    const plan = createSelection(selectionSettings.parse(settings)).plan;
    expect(plan.normaliser).toBe(expected.normaliser);
    if (expected.loss === null) return;
    const current = parts.flatMap((part) => part.rows.flatMap((row) => row.current_loss ?? []));
    const loss = selectiveLoss(
      weights.flat(2),
      current.map((value) => Math.fround(value ?? Number.NaN)),
      current.map((value) => (value === null ? 0 : 1)),
      plan.normaliser,
    );
    expect(loss).toEqual(near(expected.loss));
  });

  it('covers every method', () => {
    const tested = new Set(vectors.map((vector) => vector.settings['method']));
    expect([...tested].sort()).toEqual(METHODS.map((method) => method.name).sort());
  });

  it('has its schemas committed', async () => {
    const json = (schema: z.ZodType): string =>
      `${JSON.stringify(z.toJSONSchema(schema, { io: 'input' }), null, 2)}\n`;
    const schemas = new URL('../../schemas/', import.meta.url);
    await expect(json(vectorSchema)).toMatchFileSnapshot(
      fileURLToPath(new URL('conformance-vector.json', schemas)),
    );
    await expect(json(selectionSettings)).toMatchFileSnapshot(fileURLToPath(new URL('select.json', schemas)));
  });
});
