/**
 * Arrays that are taken again for every batch, where nothing of a batch is needed once the next one comes: memory that is
 * asked for anew costs more than what is done in it.
 */
export interface Scratch {
  /** [length] zeros, in the array of that name. */
  flags(name: string, length: number): Uint8Array;
  floats(name: string, length: number): Float32Array;
}

export function createScratch(): Scratch {
  return {
    flags: arraysByName((length) => new Uint8Array(length)),
    floats: arraysByName((length) => new Float32Array(length)),
  };
}

/** Arrays of each batch's own: what a caller keeps. */
export const NO_SCRATCH: Scratch = {
  flags: (_, length) => new Uint8Array(length),
  floats: (_, length) => new Float32Array(length),
};

function arraysByName<A extends Uint8Array | Float32Array>(
  make: (length: number) => A,
): (name: string, length: number) => A {
  const arrays = new Map<string, A>();
  return (name, length) => {
    const before = arrays.get(name);
    const array = before !== undefined && before.length >= length ? before : make(length);
    arrays.set(name, array);
    return array.subarray(0, length).fill(0) as A;
  };
}
