import { z } from 'zod';

/** What a setting may also be written as, by the schema that reads both forms. */
const shorthands = new WeakMap<object, z.ZodType>();

/**
 * A setting with a short form beside its own: `runs/owm=2` for `{ path: runs/owm, ratio: 2 }`. Messages are those of the
 * full form, and the JSON Schema knows both, since it is made from what is said here.
 * @param short what the short form looks like
 * @param read turns it into the full form; what is none it gives back as it is
 */
export function withShorthand<T extends z.ZodType>(
  full: T,
  short: z.ZodType,
  read: (value: unknown) => unknown,
): z.ZodPreprocess<T> {
  const schema = z.preprocess(read, full);
  shorthands.set(schema, short);
  return schema;
}

/** One of a kind by itself, or a list of them. */
export const oneOrMore = <T extends z.ZodType>(one: T): z.ZodUnion<[T, z.ZodArray<T>]> =>
  z.union([one, z.array(one)]);

/** The JSON Schema of settings as they are written in a file: what has a default may be left out, short forms will do. */
export function inputSchema(schema: z.ZodType): object {
  return z.toJSONSchema(schema, {
    io: 'input',
    override({ zodSchema, jsonSchema }) {
      const known = shorthands.get(zodSchema);
      if (known === undefined) return;
      const { $schema: _, ...short } = z.toJSONSchema(known, { io: 'input' });
      const full = { ...jsonSchema } as const;
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key];
      jsonSchema.anyOf = [short, full];
    },
  });
}
