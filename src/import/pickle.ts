/**
 * Pickles as far as torch.save writes lists of numbers and tensors, and no further: a machine that knows a score of
 * opcodes and calls nothing. A name from a module is only compared with those that are known; any other ends the import.
 * Opcodes: Python's Lib/pickletools.py.
 */
import { inputError, type TokensieveError } from '../errors.js';
import { PickleBytes } from './pickle-bytes.js';
import {
  asItem,
  built,
  isObject,
  KNOWN_GLOBALS,
  type PickledItem,
  storageOf,
  unsafe,
  type Value,
} from './pickle-values.js';

const MAX_STACK = 1 << 20;
const MAX_MEMO = 1 << 20;
const MAX_MARKS = 64;
const STOP = 0x2e;

/**
 * The items of the list that a pickle holds, in order, or its one tensor. An item is let go as soon as the next begins.
 * @param source the pickle's bytes · @param most values that one list may have
 * @throws TokensieveError (input) `unsafe-pickle` for what would have to be executed; `bad-source` for what is damaged, or
 *   is no list of numbers
 */
export async function* pickledItems(
  source: AsyncIterable<Uint8Array>,
  path: string,
  most: number,
): AsyncGenerator<PickledItem> {
  const machine = new PickleMachine(source, path, most);
  const { bytes } = machine;
  for (;;) {
    if (bytes.runsLow) await bytes.fill();
    const opcode = bytes.byte();
    if (opcode === STOP) {
      yield* machine.end();
      return;
    }
    const act = OPCODES[opcode];
    if (act === undefined) throw unsafe(path, `opcode 0x${opcode.toString(16).padStart(2, '0')}`);
    const items = act(machine);
    if (items !== undefined) for (const item of items) yield item;
    for (const item of machine.wholeLists()) yield item;
  }
}

/** What an opcode does to the machine; the items of the outer list that it brings, if any. */
type Act = (machine: PickleMachine) => readonly PickledItem[] | undefined;

const pushing =
  (made: (machine: PickleMachine) => Value): Act =>
  (machine) => {
    machine.push(made(machine));
    return undefined;
  };
const doing =
  (act: (machine: PickleMachine) => void): Act =>
  (machine) => {
    act(machine);
    return undefined;
  };
const tupleOf = (count: number): Act =>
  pushing((machine) => {
    const items = Array.from({ length: count }, () => machine.pop());
    return { kind: 'tuple', items: items.reverse() };
  });

const OPCODES: Readonly<Partial<Record<number, Act>>> = {
  // PROTO, FRAME
  128: doing(({ bytes, bad }) => {
    if (bytes.byte() > 5) throw bad('a pickle of a protocol above 5');
  }),
  149: doing(({ bytes }) => bytes.skip(8)),
  // EMPTY_LIST, MARK, APPEND, APPENDS
  93: pushing((machine) => (machine.isEmpty ? { kind: 'outer' } : { kind: 'list', values: [] })),
  40: doing((machine) => machine.mark()),
  97: (machine) => machine.append([machine.pop()]),
  101: (machine) => machine.append(machine.popMark()),
  // BINFLOAT, BININT1, BININT2, BININT, LONG1
  71: pushing(({ bytes }) => bytes.float64()),
  75: pushing(({ bytes }) => bytes.byte()),
  77: pushing(({ bytes }) => bytes.uint16()),
  74: pushing(({ bytes }) => bytes.int32()),
  138: pushing(({ bytes }) => bytes.integer(bytes.byte())),
  // NONE, NEWTRUE, NEWFALSE
  78: pushing(() => null),
  136: pushing(() => true),
  137: pushing(() => false),
  // BINUNICODE, SHORT_BINUNICODE
  88: pushing(({ bytes }) => bytes.text(bytes.uint32())),
  140: pushing(({ bytes }) => bytes.text(bytes.byte())),
  // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
  41: tupleOf(0),
  133: tupleOf(1),
  134: tupleOf(2),
  135: tupleOf(3),
  116: pushing((machine) => ({ kind: 'tuple', items: machine.popMark() })),
  // GLOBAL, STACK_GLOBAL
  99: pushing((machine) => {
    const module = machine.bytes.line();
    return machine.global(module, machine.bytes.line());
  }),
  147: pushing((machine) => {
    const [name, module] = [machine.pop(), machine.pop()];
    return machine.global(module, name);
  }),
  // BINPERSID, REDUCE
  81: pushing((machine) => storageOf(machine.pop(), machine.path)),
  82: pushing((machine) => {
    const [given, called] = [machine.pop(), machine.pop()];
    return built(called, given, machine.path);
  }),
  // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
  113: doing((machine) => machine.put(machine.bytes.byte())),
  114: doing((machine) => machine.put(machine.bytes.uint32())),
  148: doing((machine) => machine.memoize()),
  104: pushing((machine) => machine.named(machine.bytes.byte())),
  106: pushing((machine) => machine.named(machine.bytes.uint32())),
};

/** Stack, marks and names of a pickle that is read. */
class PickleMachine {
  readonly bytes: PickleBytes;
  readonly path: string;
  readonly #most: number;
  readonly #stack: Value[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();
  #memoized = 0;
  /** Items that were given. */
  #index = 0;

  constructor(source: AsyncIterable<Uint8Array>, path: string, most: number) {
    this.path = path;
    this.#most = most;
    this.bytes = new PickleBytes(source, this.bad);
  }

  readonly bad = (what: string): TokensieveError => inputError('bad-source', `${this.path}: ${what}`);

  get isEmpty(): boolean {
    return this.#stack.length === 0;
  }

  push(value: Value): void {
    if (this.#stack.push(value) > MAX_STACK)
      throw this.bad(`more than ${MAX_STACK} values wait for their list`);
  }

  pop(): Value {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0))
      throw this.bad('the pickle is damaged: a value is missing');
    return this.#stack.pop() as Value;
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
    if (this.#marks.length > MAX_MARKS) throw this.bad('the pickle is nested too deeply');
  }

  /** All above the last mark. */
  popMark(): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.bad('the pickle is damaged: a mark is missing');
    return this.#stack.splice(mark);
  }

  memoize(): void {
    this.put(this.#memoized);
  }

  /** Keeps what is on top under a key, if it is a name: what else is referred to again is refused. */
  put(key: number): void {
    const value = this.#stack.at(-1);
    this.#memoized++;
    if (typeof value !== 'string' && !(isObject(value) && value.kind === 'global')) return;
    if (this.#memo.size >= MAX_MEMO) throw this.bad(`more than ${MAX_MEMO} names in the pickle`);
    this.#memo.set(key, value);
  }

  /** The name that was kept under a key. */
  named(key: number): Value {
    const value = this.#memo.get(key);
    if (value === undefined)
      throw this.bad('the pickle refers to a list or tensor a second time; save each by itself');
    return value;
  }

  global(module: Value, name: Value): Value {
    if (typeof name !== 'string' || typeof module !== 'string')
      throw this.bad('the pickle is damaged: a name is missing');
    const full = `${module}.${name}`;
    if (!KNOWN_GLOBALS.has(full)) throw unsafe(this.path, full);
    return { kind: 'global', name: full };
  }

  /** Appends to the list on top; what goes into the outer one is given at once. */
  append(items: readonly Value[]): readonly PickledItem[] | undefined {
    const target = this.#stack.at(-1);
    if (isObject(target) && target.kind === 'outer') return items.map((item) => this.#item(item));
    if (!isObject(target) || target.kind !== 'list')
      throw this.bad('the pickle is damaged: values without a list');
    if (target.values.length + items.length > this.#most)
      throw this.bad(`a list of more than ${this.#most} values`);
    for (const item of items) {
      if (typeof item !== 'number') throw this.bad(`list ${this.#index}: holds something else than numbers`);
      target.values.push(item);
    }
    return undefined;
  }

  /**
   * A list of numbers is whole once another stands above it: it need not wait for the other 999 of its batch. A number
   * above it is yet to be appended to it.
   */
  *wholeLists(): Generator<PickledItem> {
    const [stack, marks] = [this.#stack, this.#marks];
    while (marks.length === 1 && marks[0] === 1 && stack.length > 2 && isObject(stack.at(-1))) {
      const first = stack[1];
      if (!isObject(first) || first.kind !== 'list') return;
      stack.splice(1, 1);
      yield this.#item(first);
    }
  }

  /** At the pickle's end: its one tensor; nothing more of a list. */
  *end(): Generator<PickledItem> {
    const [whole] = this.#stack;
    if (this.#stack.length !== 1 || this.#marks.length > 0 || whole === undefined)
      throw this.bad('the pickle is damaged: its end comes early');
    if (isObject(whole) && whole.kind === 'tensor') yield { ...whole, alone: true };
    else if (!isObject(whole) || whole.kind !== 'outer')
      throw this.bad('it holds neither a list nor a tensor');
  }

  #item(value: Value): PickledItem {
    return asItem(value, this.path, this.#index++);
  }
}
