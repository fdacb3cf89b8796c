/** Counts and sums of one run of ids over its occurrences. `last…` are of its last token alone. */
export interface RepeatedRun {
  readonly ids: Int32Array;
  readonly occurrences: number;
  readonly documents: number;
  readonly kept: number;
  readonly lastKept: number;
  readonly excess: number;
  readonly lastExcess: number;
}

/** One occurrence of a run of ids. */
export interface Occurrence {
  /** Two hashes of the ids, 32 bits each. */
  tag1: number;
  tag2: number;
  /** Serial numbers of its document and of its stretch of text, and the index of its last token. */
  document: number;
  span: number;
  end: number;
  kept: number;
  lastKept: number;
  excess: number;
  lastExcess: number;
}

const FIELDS = 7;
const [COUNT, DOCUMENTS, LAST_DOCUMENT, KEPT, LAST_KEPT, EXCESS, LAST_EXCESS] = [0, 1, 2, 3, 4, 5, 6];

/**
 * Runs of ids that were seen at least twice, exactly counted from then on, in memory that does not grow. When it is
 * full, the rarest half is let go.
 */
export interface RunTable {
  /** Whether the run is known; if so the occurrence is counted. Occurrences that overlap the last one are not. */
  count(occurrence: Occurrence): boolean;
  /** Takes in a run with its first two occurrences. @param ids [length] of the run, at `from` */
  insert(first: Occurrence, second: Occurrence, ids: Int32Array, from: number): void;
  runs(): RepeatedRun[];
  /** How often the table was full. */
  readonly purges: () => number;
}

/** @param length ids of a run · @param capacity runs that have room: a power of two */
export function createRunTable(length: number, capacity: number): RunTable {
  const slots = new Int32Array(capacity * 2).fill(-1);
  const mask = slots.length - 1;
  const tags = new Int32Array(capacity * 2);
  const spans = new Int32Array(capacity * 2);
  const ids = new Int32Array(capacity * length);
  const values = new Float64Array(capacity * FIELDS);
  let size = 0;
  let purges = 0;

  /** The slot of the tags: that of their run, or the free one where it belongs. */
  const slotOf = (tag1: number, tag2: number): number => {
    for (let slot = tag1 & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot] as number;
      if (entry < 0 || (tags[2 * entry] === tag1 && tags[2 * entry + 1] === tag2)) return slot;
    }
  };
  const add = (entry: number, field: number, value: number): void => {
    values[entry * FIELDS + field] = (values[entry * FIELDS + field] as number) + value;
  };
  const addOccurrence = (entry: number, one: Occurrence): void => {
    add(entry, COUNT, 1);
    if (values[entry * FIELDS + LAST_DOCUMENT] !== one.document) add(entry, DOCUMENTS, 1);
    values[entry * FIELDS + LAST_DOCUMENT] = one.document;
    add(entry, KEPT, one.kept);
    add(entry, LAST_KEPT, one.lastKept);
    add(entry, EXCESS, one.excess);
    add(entry, LAST_EXCESS, one.lastExcess);
    spans[2 * entry] = one.span;
    spans[2 * entry + 1] = one.end;
  };

  /** Lets go of the runs with the fewest occurrences, at least half of them. */
  const purge = (): void => {
    purges++;
    const counts = Float64Array.from(
      { length: size },
      (_, entry) => values[entry * FIELDS + COUNT] ?? 0,
    ).sort();
    const floor = counts[size >> 1] ?? 0;
    slots.fill(-1);
    let to = 0;
    for (let from = 0; from < size; from++) {
      if ((values[from * FIELDS + COUNT] as number) <= floor) continue;
      tags.copyWithin(2 * to, 2 * from, 2 * from + 2);
      spans.copyWithin(2 * to, 2 * from, 2 * from + 2);
      ids.copyWithin(to * length, from * length, (from + 1) * length);
      values.copyWithin(to * FIELDS, from * FIELDS, (from + 1) * FIELDS);
      slots[slotOf(tags[2 * to] as number, tags[2 * to + 1] as number)] = to;
      to++;
    }
    size = to;
  };

  return {
    purges: () => purges,
    count(one) {
      const entry = slots[slotOf(one.tag1, one.tag2)] as number;
      if (entry < 0) return false;
      const overlaps = spans[2 * entry] === one.span && one.end - (spans[2 * entry + 1] as number) < length;
      if (!overlaps) addOccurrence(entry, one);
      return true;
    },
    insert(first, second, source, from) {
      if (size === capacity) purge();
      const entry = size++;
      slots[slotOf(second.tag1, second.tag2)] = entry;
      tags[2 * entry] = second.tag1;
      tags[2 * entry + 1] = second.tag2;
      for (let i = 0; i < length; i++) ids[entry * length + i] = source[from + i] as number;
      values.fill(0, entry * FIELDS, (entry + 1) * FIELDS);
      values[entry * FIELDS + LAST_DOCUMENT] = -1;
      addOccurrence(entry, first);
      addOccurrence(entry, second);
    },
    runs: () =>
      Array.from({ length: size }, (_, entry): RepeatedRun => {
        const value = (field: number): number => values[entry * FIELDS + field] ?? 0;
        return {
          ids: ids.slice(entry * length, (entry + 1) * length),
          occurrences: value(COUNT),
          documents: value(DOCUMENTS),
          kept: value(KEPT),
          lastKept: value(LAST_KEPT),
          excess: value(EXCESS),
          lastExcess: value(LAST_EXCESS),
        };
      }),
  };
}
