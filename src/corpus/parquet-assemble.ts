/**
 * Records from columns: Dremel's levels read back into lists, maps and structs, row by row.
 * Source: S. Melnik et al., Dremel (VLDB 2010), section 4.3; the list and map layouts and their legacy forms as in
 * https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#nested-types
 */
import type { Field } from './parquet-schema.js';

/** One leaf column at its current entry. */
export interface LeafCursor {
  /** Levels of the current entry; repetition −1 when there is none. */
  definition(): number;
  repetition(): number;
  /** The current entry's value (null when it is not defined to the leaf), moving on to the next. */
  take(): unknown;
}

/** Reads one row of a top-level column; every cursor stands at a row's first entry, and moves to the next row's. */
export type Assemble = (cursors: readonly LeafCursor[]) => unknown;

/** Lists are arrays, structs objects, maps arrays of [key, value] pairs, as keys may repeat and need not be strings. */
export function assembler(field: Field): Assemble {
  const base = field.leaves[0];
  return field.repeated
    ? repeated(field, content(field, base), base)
    : nullable(field, content(field, base), base);
}

/** What a field holds once it is known to be there. */
function content(field: Field, base: number): Assemble {
  if (field.leaf) return leaf(field, base);
  const [inner] = field.children;
  if (field.children.length === 1 && inner?.repeated) {
    if (field.annotation === 'list') return repeated(inner, element(field, inner, base), base);
    if (field.annotation === 'map') {
      const [key, value] = inner.children;
      // A map of keys alone is their list.
      if (key && !value && !key.repeated)
        return repeated(inner, nullable(key, content(key, base), base), base);
      if (inner.children.length === 2 && key && value && !key.repeated && !value.repeated) {
        const readKey = nullable(key, content(key, base), base);
        const readValue = nullable(value, content(value, base), base);
        return repeated(inner, (cursors) => [readKey(cursors), readValue(cursors)], base);
      }
    }
  }
  return struct(field, base);
}

/** A list's element: what its repeated group wraps, or, in the legacy two-level forms, the repeated field itself. */
function element(list: Field, inner: Field, base: number): Assemble {
  const [child] = inner.children;
  const wraps =
    inner.children.length === 1 &&
    child !== undefined &&
    !child.repeated &&
    inner.name !== 'array' &&
    inner.name !== `${list.name}_tuple`;
  return wraps ? nullable(child, content(child, base), base) : content(inner, base);
}

function leaf(field: Field, base: number): Assemble {
  const index = field.leaves[0] - base;
  return (cursors) => at(cursors, index).take();
}

function struct(field: Field, base: number): Assemble {
  const members = field.children.map((child) => {
    const read = content(child, base);
    return [child.name, child.repeated ? repeated(child, read, base) : nullable(child, read, base)] as const;
  });
  // fromEntries defines: a field named __proto__ stays a field.
  return (cursors) => Object.fromEntries(members.map(([name, read]) => [name, read(cursors)]));
}

function nullable(field: Field, read: Assemble, base: number): Assemble {
  if (!field.optional || field.leaf) return read;
  const first = field.leaves[0] - base;
  return (cursors) => {
    if (at(cursors, first).definition() >= field.definition) return read(cursors);
    skip(field, cursors, base);
    return null;
  };
}

function repeated(field: Field, read: Assemble, base: number): Assemble {
  const first = field.leaves[0] - base;
  return (cursors) => {
    const cursor = at(cursors, first);
    const items: unknown[] = [];
    if (cursor.definition() < field.definition) {
      skip(field, cursors, base);
      return items;
    }
    do items.push(read(cursors));
    while (cursor.repetition() >= field.repetition);
    return items;
  };
}

/** An absent value still has one entry in every column below it. */
function skip(field: Field, cursors: readonly LeafCursor[], base: number): void {
  for (let i = field.leaves[0]; i < field.leaves[1]; i++) at(cursors, i - base).take();
}

function at(cursors: readonly LeafCursor[], index: number): LeafCursor {
  const cursor = cursors[index];
  if (!cursor) throw new Error('no such leaf column');
  return cursor;
}
