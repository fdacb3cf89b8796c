/** Values of a column, gathered from pieces in memory that is used again: no fresh pages for every row group. */
export interface ColumnBuffer<T> {
  /** Room for `count` values more, to be filled before the next call. */
  extend(count: number): T;
  append(values: T): void;
  /** Values so far, valid until the next call of another method. */
  view(): T;
  clear(): void;
}

type Values = Int32Array | Float32Array | BigInt64Array;

/** @param make an array of so many values */
export function columnBuffer<T extends Values>(make: (length: number) => T): ColumnBuffer<T> {
  let values = make(1024);
  let length = 0;
  const extend = (count: number): T => {
    const end = length + count;
    if (end > values.length) {
      const larger = make(Math.max(end, 2 * values.length));
      larger.set(values.subarray(0, length) as never);
      values = larger;
    }
    const room = values.subarray(length, end) as T;
    length = end;
    return room;
  };
  return {
    extend,
    append(more) {
      extend(more.length).set(more as never);
    },
    view: () => values.subarray(0, length) as T,
    clear() {
      length = 0;
    },
  };
}
