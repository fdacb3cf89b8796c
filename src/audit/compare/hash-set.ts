/** A set of 64-bit hashes with a mark each, in flat memory: open addressing, at most three quarters full. */

export const BYTES_A_SLOT = 9;
const FIRST_SLOTS = 1 << 12;

export interface HashSet {
  readonly size: () => number;
  /** False where the hash is new and the set is full. */
  add(low: number, high: number): boolean;
  /** Marks the hash if the set has it. */
  mark(low: number, high: number): void;
  /** Whether the hash is marked; undefined where the set does not have it. */
  marked(low: number, high: number): boolean | undefined;
}

/** Slots that hold `maximum` hashes. */
export function slotsFor(maximum: number): number {
  let slots = FIRST_SLOTS;
  while (slots * 0.75 < maximum) slots *= 2;
  return slots;
}

/** @param maximum most hashes held */
export function createHashSet(maximum: number): HashSet {
  let slots = FIRST_SLOTS;
  let keys = new Int32Array(2 * slots);
  let states = new Uint8Array(slots); // 0 empty, 1 there, 2 marked
  let size = 0;

  const slotOf = (low: number, high: number): number => {
    let slot = low & (slots - 1);
    while (states[slot] !== 0 && (keys[2 * slot] !== low || keys[2 * slot + 1] !== high)) {
      slot = (slot + 1) & (slots - 1);
    }
    return slot;
  };

  const grow = (): void => {
    const [oldKeys, oldStates] = [keys, states];
    slots *= 2;
    keys = new Int32Array(2 * slots);
    states = new Uint8Array(slots);
    for (let old = 0; old < oldStates.length; old++) {
      if (oldStates[old] === 0) continue;
      const [low, high] = [oldKeys[2 * old] as number, oldKeys[2 * old + 1] as number];
      const slot = slotOf(low, high);
      keys[2 * slot] = low;
      keys[2 * slot + 1] = high;
      states[slot] = oldStates[old] as number;
    }
  };

  return {
    size: () => size,
    add(low, high) {
      let slot = slotOf(low, high);
      if (states[slot] !== 0) return true;
      if (size >= maximum) return false;
      if (size + 1 > slots * 0.75) {
        grow();
        slot = slotOf(low, high);
      }
      keys[2 * slot] = low;
      keys[2 * slot + 1] = high;
      states[slot] = 1;
      size++;
      return true;
    },
    mark(low, high) {
      const slot = slotOf(low, high);
      if (states[slot] !== 0) states[slot] = 2;
    },
    marked(low, high) {
      const state = states[slotOf(low, high)];
      return state === 0 ? undefined : state === 2;
    },
  };
}
