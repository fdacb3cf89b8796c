import { z } from 'zod';
import { unwrap } from './flags.js';

/**
 * The keys that a schema knows where a path of the settings leads; none where it does not lead to an object. Of a choice of
 * objects the one that the settings' own values are of.
 * @param settings as they were given, by which a choice is made
 */
export function keysAt(
  schema: z.ZodType,
  path: readonly PropertyKey[],
  settings: unknown,
): readonly string[] {
  const { inner } = unwrap(schema);
  const [step, ...rest] = path;
  if (inner instanceof z.ZodUnion) {
    const options = inner.options as readonly z.ZodType[];
    const fitting = options.filter((option) => fits(option, settings));
    const chosen = fitting.length > 0 ? fitting : options;
    return [...new Set(chosen.flatMap((option) => keysAt(option, path, settings)))];
  }
  if (inner instanceof z.ZodIntersection) {
    return [inner.def.left, inner.def.right].flatMap((one) => keysAt(one as z.ZodType, path, settings));
  }
  if (inner instanceof z.ZodPipe) {
    return [inner.def.in, inner.def.out].flatMap((one) => keysAt(one as z.ZodType, path, settings));
  }
  if (inner instanceof z.ZodObject) {
    const shape = inner.shape as Readonly<Record<string, z.ZodType>>;
    if (step === undefined) return Object.keys(shape);
    const field = shape[String(step)];
    return field === undefined ? [] : keysAt(field, rest, below(settings, step));
  }
  const item =
    inner instanceof z.ZodArray ? inner.element : inner instanceof z.ZodRecord ? inner.valueType : undefined;
  return item === undefined || step === undefined
    ? []
    : keysAt(item as z.ZodType, rest, below(settings, step));
}

const below = (settings: unknown, step: PropertyKey): unknown =>
  typeof settings === 'object' && settings !== null
    ? (settings as Record<PropertyKey, unknown>)[step]
    : undefined;

/** Whether the literals of an object's schema are those of the settings: `kind: train`. */
function fits(schema: z.ZodType, settings: unknown): boolean {
  const { inner } = unwrap(schema);
  if (!(inner instanceof z.ZodObject)) return false;
  return Object.entries(inner.shape as Readonly<Record<string, z.ZodType>>).every(
    ([key, field]) => !(field instanceof z.ZodLiteral) || field.values.has(below(settings, key) as never),
  );
}
