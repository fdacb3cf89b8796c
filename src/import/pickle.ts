/**
 * Pickles as far as torch.save writes lists of numbers and tensors, and no further: a machine that knows a score of
 * opcodes and calls nothing. A name from a module is only compared with those below; any other ends the import.
 * Opcodes: Python's Lib/pickletools.py.
 */
import { inputError, type TokensieveError } from '../errors.js';

/** A tensor of the archive, its numbers still in the file. */
export interface PickledTensor {
  readonly kind: 'tensor';
  /** Name of the storage's entry, below `data/`. */
  readonly key: string;
  readonly type: StorageType;
  /** In elements. */
  readonly offset: number;
  readonly size: readonly number[];
  /** It is not of a list, but all that there is. */
  readonly alone?: true;
}

/** What a list may hold. */
export type PickledItem = PickledList | PickledTensor | number;
export interface PickledList {
  readonly kind: 'list';
  readonly values: number[];
}

/** Storages by the names that torch's legacy classes have in a pickle. */
const STORAGES = {
  FloatStorage: 'f32',
  DoubleStorage: 'f64',
  HalfStorage: 'f16',
  BFloat16Storage: 'bf16',
} as const;
export type StorageType = (typeof STORAGES)[keyof typeof STORAGES];

type Value =
  | PickledItem
  | string
  | boolean
  | null
  | { readonly kind: 'outer' }
  | { readonly kind: 'global'; readonly name: string }
  | { readonly kind: 'tuple'; readonly items: readonly Value[] }
  | { readonly kind: 'storage'; readonly key: string; readonly type: StorageType }
  | { readonly kind: 'ignored' };

/** Longest text of a pickle that is read: names of modules and of storages. */
const MAX_TEXT = 4096;
/** Bytes that are at hand before an opcode is looked at; no opcode with what belongs to it has more. */
const LOOKAHEAD = 1 << 16;
const MAX_STACK = 1 << 20;
const MAX_MEMO = 1 << 20;

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
  const bad = (what: string): TokensieveError => inputError('bad-source', `${path}: ${what}`);
  const input = source[Symbol.asyncIterator]();
  let bytes = Buffer.alloc(0);
  let at = 0;
  let isEnd = false;
  const stack: Value[] = [];
  const marks: number[] = [];
  const memo = new Map<number, string | { readonly kind: 'global'; readonly name: string }>();
  let memoized = 0;
  let index = 0;

  const need = (count: number): number => {
    if (at + count > bytes.length) throw bad('the pickle ends early');
    at += count;
    return at - count;
  };
  const byte = (): number => bytes[need(1)] as number;
  const text = (length: number): string => {
    if (length > MAX_TEXT) throw bad(`a text of ${length} bytes in the pickle; expected lists of numbers`);
    return bytes.toString('utf8', need(length), at);
  };
  const line = (): string => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0 || end - at > MAX_TEXT) throw bad('the pickle ends early');
    const read = bytes.toString('utf8', at, end);
    at = end + 1;
    return read;
  };
  const push = (value: Value): void => {
    if (stack.push(value) > MAX_STACK) throw bad(`more than ${MAX_STACK} values wait for their list`);
  };
  const pop = (): Value => {
    if (stack.length <= (marks.at(-1) ?? 0)) throw bad('the pickle is damaged: a value is missing');
    return stack.pop() as Value;
  };
  const popMark = (): Value[] => {
    const mark = marks.pop();
    if (mark === undefined) throw bad('the pickle is damaged: a mark is missing');
    return stack.splice(mark);
  };
  const put = (key: number): void => {
    const value = stack.at(-1);
    memoized++;
    if (typeof value !== 'string' && !(isObject(value) && value.kind === 'global')) return;
    if (memo.size >= MAX_MEMO) throw bad(`more than ${MAX_MEMO} names in the pickle`);
    memo.set(key, value);
  };
  const get = (key: number): void => {
    const value = memo.get(key);
    if (value === undefined)
      throw bad('the pickle refers to a list or tensor a second time; save each by itself');
    push(value);
  };
  const global = (module: string, name: string): void => {
    const full = `${module}.${name}`;
    if (!KNOWN_GLOBALS.has(full)) throw unsafe(path, full);
    push({ kind: 'global', name: full });
  };
  const appendTo = (target: Value | undefined, items: readonly Value[]): PickledItem[] => {
    if (!isObject(target)) throw bad('the pickle is damaged: values without a list');
    if (target.kind === 'outer') return items.map((item) => asItem(item, path, index++));
    if (target.kind !== 'list') throw bad('the pickle is damaged: values without a list');
    if (target.values.length + items.length > most) throw bad(`a list of more than ${most} values`);
    for (const item of items) {
      if (typeof item !== 'number') throw bad(`list ${index}: holds something else than numbers`);
      target.values.push(item);
    }
    return [];
  };

  for (;;) {
    while (!isEnd && bytes.length - at < LOOKAHEAD) {
      const next = await input.next();
      isEnd = next.done === true;
      if (!next.done) {
        bytes = Buffer.concat([bytes.subarray(at), next.value]);
        at = 0;
      }
    }
    let given: readonly PickledItem[] = [];
    const opcode = byte();
    switch (opcode) {
      case 0x80: // PROTO
        if (byte() > 5) throw bad('a pickle of a protocol above 5');
        break;
      case 0x95: // FRAME
        need(8);
        break;
      case 0x5d: // EMPTY_LIST
        push(stack.length === 0 ? { kind: 'outer' } : { kind: 'list', values: [] });
        break;
      case 0x28: // MARK
        marks.push(stack.length);
        if (marks.length > 64) throw bad('the pickle is nested too deeply');
        break;
      case 0x61: {
        // APPEND
        const item = pop();
        given = appendTo(stack.at(-1), [item]);
        break;
      }
      case 0x65: {
        // APPENDS
        const items = popMark();
        given = appendTo(stack.at(-1), items);
        break;
      }
      case 0x47: // BINFLOAT
        push(bytes.readDoubleBE(need(8)));
        break;
      case 0x4b: // BININT1
        push(byte());
        break;
      case 0x4d: // BININT2
        push(bytes.readUInt16LE(need(2)));
        break;
      case 0x4a: // BININT
        push(bytes.readInt32LE(need(4)));
        break;
      case 0x8a: {
        // LONG1
        const length = byte();
        if (length > 8) throw bad('a whole number of more than 64 bits');
        let value = 0n;
        const start = need(length);
        for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[start + i] as number);
        push(Number(length === 0 ? 0n : BigInt.asIntN(length * 8, value)));
        break;
      }
      case 0x4e: // NONE
        push(null);
        break;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        push(opcode === 0x88);
        break;
      case 0x58: // BINUNICODE
        push(text(bytes.readUInt32LE(need(4))));
        break;
      case 0x8c: // SHORT_BINUNICODE
        push(text(byte()));
        break;
      case 0x29: // EMPTY_TUPLE
        push({ kind: 'tuple', items: [] });
        break;
      case 0x85: // TUPLE1
        push({ kind: 'tuple', items: [pop()] });
        break;
      case 0x86: {
        // TUPLE2
        const [second, first] = [pop(), pop()];
        push({ kind: 'tuple', items: [first, second] });
        break;
      }
      case 0x87: {
        // TUPLE3
        const [third, second, first] = [pop(), pop(), pop()];
        push({ kind: 'tuple', items: [first, second, third] });
        break;
      }
      case 0x74: // TUPLE
        push({ kind: 'tuple', items: popMark() });
        break;
      case 0x63: {
        // GLOBAL
        const module = line();
        global(module, line());
        break;
      }
      case 0x93: {
        // STACK_GLOBAL
        const [name, module] = [pop(), pop()];
        if (typeof name !== 'string' || typeof module !== 'string')
          throw bad('the pickle is damaged: a name is missing');
        global(module, name);
        break;
      }
      case 0x51: // BINPERSID
        push(storageOf(pop(), path));
        break;
      case 0x52: {
        // REDUCE
        const [args, called] = [pop(), pop()];
        push(built(called, args, path));
        break;
      }
      case 0x71: // BINPUT
        put(byte());
        break;
      case 0x72: // LONG_BINPUT
        put(bytes.readUInt32LE(need(4)));
        break;
      case 0x94: // MEMOIZE
        put(memoized);
        break;
      case 0x68: // BINGET
        get(byte());
        break;
      case 0x6a: // LONG_BINGET
        get(bytes.readUInt32LE(need(4)));
        break;
      case 0x2e: {
        // STOP
        const [whole] = stack;
        if (stack.length !== 1 || marks.length > 0 || whole === undefined)
          throw bad('the pickle is damaged: its end comes early');
        if (isObject(whole) && whole.kind === 'tensor') yield { ...whole, alone: true };
        else if (!isObject(whole) || whole.kind !== 'outer')
          throw bad('it holds neither a list nor a tensor');
        return;
      }
      default:
        throw unsafe(path, `opcode 0x${opcode.toString(16).padStart(2, '0')}`);
    }
    yield* given;
    // A list of numbers is whole once another stands above it: it need not wait for the other 999 of its batch. A number
    // above it is yet to be appended to it.
    while (marks.length === 1 && marks[0] === 1 && stack.length > 2 && isObject(stack.at(-1))) {
      const first = stack[1];
      if (!isObject(first) || first.kind !== 'list') break;
      stack.splice(1, 1);
      yield asItem(first, path, index++);
    }
  }
}

const isObject = (value: Value | undefined): value is Exclude<Value, string | number | boolean | null> =>
  typeof value === 'object' && value !== null;

const REBUILD = 'torch._utils._rebuild_tensor_v2';
const ORDERED_DICT = 'collections.OrderedDict';
const KNOWN_GLOBALS: ReadonlySet<string> = new Set([
  REBUILD,
  ORDERED_DICT,
  ...Object.keys(STORAGES).map((name) => `torch.${name}`),
]);

const CONVERT =
  'json.dump([x.tolist() if hasattr(x, "tolist") else list(x) for x in torch.load(FILE)], …) or write ids and losses to parquet';

const unsafe = (path: string, what: string): TokensieveError =>
  inputError(
    'unsafe-pickle',
    `${path}: the pickle holds ${what}, which is neither a list of numbers nor a float tensor; nothing of it is executed here. Convert it where you trust it: ${CONVERT}`,
  );

/** What a call comes to: only tensors are made, and the empty dictionary of their hooks. */
function built(called: Value, args: Value, path: string): Value {
  const name = isObject(called) && called.kind === 'global' ? called.name : '';
  const items = isObject(args) && args.kind === 'tuple' ? args.items : [];
  if (name === ORDERED_DICT && items.length === 0) return { kind: 'ignored' };
  const [storage, offset, size, stride] = items;
  if (
    name !== REBUILD ||
    !isObject(storage) ||
    storage.kind !== 'storage' ||
    !isCount(offset) ||
    !isObject(size) ||
    size.kind !== 'tuple' ||
    !isObject(stride) ||
    stride.kind !== 'tuple'
  ) {
    throw unsafe(path, `a call of ${name || 'an unknown function'}`);
  }
  const sizes = size.items.filter(isCount);
  const strides = stride.items.filter(isCount);
  let expected = 1;
  for (let i = sizes.length - 1; i >= 0; i--) {
    // A dimension of one entry may have any stride.
    if (strides[i] !== expected && sizes[i] !== 1) {
      throw inputError('bad-source', `${path}: a tensor that is not contiguous; save tensor.contiguous()`);
    }
    expected *= sizes[i] ?? 0;
  }
  if (
    sizes.length !== size.items.length ||
    sizes.length !== strides.length ||
    !Number.isSafeInteger(expected)
  ) {
    throw inputError('bad-source', `${path}: a tensor of unknown shape`);
  }
  return { kind: 'tensor', key: storage.key, type: storage.type, offset, size: sizes };
}

const isCount = (value: Value | undefined): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** `('storage', torch.FloatStorage, key, location, elements)` */
function storageOf(id: Value, path: string): Value {
  const [tag, type, key] = isObject(id) && id.kind === 'tuple' ? id.items : [];
  const name = isObject(type) && type.kind === 'global' ? type.name.replace(/^torch\./, '') : '';
  if (tag !== 'storage' || typeof key !== 'string' || !Object.hasOwn(STORAGES, name)) {
    throw unsafe(path, 'a reference that is no float storage');
  }
  return { kind: 'storage', key, type: STORAGES[name as keyof typeof STORAGES] };
}

function asItem(value: Value, path: string, index: number): PickledItem {
  if (typeof value === 'number') return value;
  if (isObject(value) && (value.kind === 'list' || value.kind === 'tensor')) return value;
  throw inputError(
    'bad-source',
    `${path}: item ${index} is neither a list of numbers, a number nor a tensor`,
  );
}
