import { z } from 'zod';
import type { Settings } from './load.js';

/** One command-line flag that stands for one setting of the pipeline. */
export interface Flag {
  readonly name: string;
  /** Path of the setting, `['sequence', 'length']`. */
  readonly path: readonly string[];
  readonly description: string;
  readonly type: 'string' | 'number' | 'boolean' | 'array';
  readonly choices?: readonly string[];
  /** The setting's own default, for the help text; parsing leaves an absent flag absent. */
  readonly default?: unknown;
}

/**
 * The flags that a settings schema declares (`meta.flag` on a field), found by walking it, so that a setting is
 * described once; `meta.repeats` marks a flag that may be given several times. `below` restricts them to some sections, `[]` to top-level fields.
 */
export function flagsOf(schema: z.ZodType): Flag[] {
  return walk(schema, []);
}

function walk(schema: z.ZodType, path: readonly string[]): Flag[] {
  const meta = z.globalRegistry.get(schema);
  const { inner, fallback } = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape).flatMap(([key, field]) => walk(field as z.ZodType, [...path, key]));
  }
  const flag = meta?.['flag'];
  if (typeof flag !== 'string') return [];
  return [
    {
      name: flag,
      path,
      description: meta?.description ?? '',
      ...typeOf(inner, meta?.['repeats'] === true),
      ...(fallback !== undefined && { default: fallback }),
    },
  ];
}

/** The schema below optional, default and refine wrappers, and the default met on the way. */
export function unwrap(schema: z.ZodType): { inner: z.ZodType; fallback: unknown } {
  let inner: z.ZodType = schema;
  let fallback: unknown;
  while (
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault ||
    inner instanceof z.ZodNullable
  ) {
    if (inner instanceof z.ZodDefault) fallback = inner.def.defaultValue;
    inner = inner.def.innerType as z.ZodType;
  }
  return { inner, fallback };
}

function typeOf(schema: z.ZodType, repeats: boolean): Pick<Flag, 'type' | 'choices'> {
  if (repeats) return { type: 'array' };
  if (schema instanceof z.ZodEnum) return { type: 'string', choices: schema.options.map(String) };
  if (schema instanceof z.ZodNumber) return { type: 'number' };
  if (schema instanceof z.ZodBoolean) return { type: 'boolean' };
  if (schema instanceof z.ZodArray) return { type: 'array' };
  return { type: 'string' };
}

/** Flags given on the command line, as nested settings; flags that were not given are left out. */
export function settingsFromFlags(
  flags: readonly Flag[],
  given: Readonly<Record<string, unknown>>,
): Settings {
  const settings: Record<string, unknown> = {};
  for (const { name, path } of flags) {
    const value = given[name];
    if (value === undefined) continue;
    let section = settings;
    for (const key of path.slice(0, -1)) {
      section[key] ??= {};
      section = section[key] as Record<string, unknown>;
    }
    const last = path.at(-1);
    if (last !== undefined) section[last] = value;
  }
  return settings;
}
