/** Random values of a JSON Schema: of the part of it that the API's document uses. */
import fc from 'fast-check';

export type Schema = {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
};

/** @param resolve the schema that a `$ref` stands for */
export function arbitraryOf(schema: Schema, resolve: (ref: string) => Schema): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return arbitraryOf(resolve(schema.$ref), resolve);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => arbitraryOf(one, resolve)));
  switch (schema.type) {
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.integer({
        min: Math.max(schema.minimum ?? -1000, -(2 ** 31)),
        max: Math.min(schema.maximum ?? 1000, 2 ** 31),
      });
    case 'number':
      return fc.double({ min: schema.minimum ?? -1e6, max: schema.maximum ?? 1e6, noNaN: true });
    case 'string':
      if (schema.pattern !== undefined) return patterned(schema.pattern);
      return fc.string({
        unit: 'grapheme',
        minLength: schema.minLength ?? 0,
        maxLength: Math.min(schema.maxLength ?? 40, 40),
      });
    case 'array':
      return fc.array(arbitraryOf(schema.items ?? {}, resolve), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 5, 5),
      });
    case 'object':
      return objectOf(schema, resolve);
    default:
      return fc.jsonValue({ maxDepth: 3 });
  }
}

function patterned(pattern: string): fc.Arbitrary<string> {
  // What a name may not hold cannot be generated from the pattern; letters can be in any name.
  if (pattern.includes('\\P{')) return fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 });
  return fc.stringMatching(new RegExp(pattern));
}

function objectOf(
  { properties = {}, required = [], additionalProperties }: Schema,
  resolve: (ref: string) => Schema,
): fc.Arbitrary<unknown> {
  const fields = fc.record(
    Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, arbitraryOf(one, resolve)])),
    { requiredKeys: [...required] },
  );
  if (additionalProperties === false || Object.keys(properties).length > 0) return fields;
  const more = typeof additionalProperties === 'object' ? additionalProperties : {};
  return fc.dictionary(fc.string({ minLength: 1, maxLength: 10 }), arbitraryOf(more, resolve), {
    maxKeys: 5,
  });
}
