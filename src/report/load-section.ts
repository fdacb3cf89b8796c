import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { firstLine, usageError } from '../errors.js';
import type { Section } from './section.js';

const text = z.string().max(10_000);
const sectionSchema = z.object({
  title: text,
  notes: z.array(text).max(100).default([]),
  table: z
    .object({
      columns: z.array(z.object({ title: text, number: z.boolean().default(false) })).max(100),
      rows: z.array(z.array(text).max(100)).max(10_000),
    })
    .exactOptional(),
}) satisfies z.ZodType<Section>;

/**
 * A section made by a module of the user's own: it exports `section(options)`, which may be async and gives
 * `{ title, notes, table: { columns: [{ title, number }], rows } }`, all cells text.
 * @throws TokensieveError `section-failed` (usage) naming the module and what is wrong
 */
export async function loadSection(
  module: string,
  options: Readonly<Record<string, unknown>>,
): Promise<Section> {
  let made: unknown;
  try {
    const loaded: { readonly section?: unknown } = await import(pathToFileURL(resolve(module)).href);
    if (typeof loaded.section !== 'function') throw new Error('exports no function called section');
    made = await loaded.section(options);
  } catch (cause) {
    throw usageError('section-failed', `${module}: ${firstLine(cause)}`, { cause });
  }
  const parsed = sectionSchema.safeParse(made);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw usageError(
    'section-failed',
    `${module}: section() gave something else than a section: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}`,
  );
}
