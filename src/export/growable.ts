/** A list of 32-bit numbers that grows: 4 bytes an entry, for indexes that stand before or after the data. */
export interface GrowableInt32 {
  readonly length: number;
  push(value: number): void;
  /** Entries so far, valid until the next push. */
  view(): Int32Array;
}

export function growableInt32(): GrowableInt32 {
  let values = new Int32Array(1024);
  let length = 0;
  return {
    get length() {
      return length;
    },
    push(value) {
      if (length === values.length) {
        const larger = new Int32Array(2 * length);
        larger.set(values);
        values = larger;
      }
      values[length++] = value;
    },
    view: () => values.subarray(0, length),
  };
}
