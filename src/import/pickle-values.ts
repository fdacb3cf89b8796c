/** Values of a pickle as torch.save writes lists of numbers and tensors, and what its few calls come to. */
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

/** What the machine of a pickle has on its stack. */
export type Value =
  | PickledItem
  | string
  | boolean
  | null
  | { readonly kind: 'outer' }
  | { readonly kind: 'global'; readonly name: string }
  | { readonly kind: 'tuple'; readonly items: readonly Value[] }
  | { readonly kind: 'storage'; readonly key: string; readonly type: StorageType }
  | { readonly kind: 'ignored' };

export const isObject = (
  value: Value | undefined,
): value is Exclude<Value, string | number | boolean | null> => typeof value === 'object' && value !== null;

const REBUILD = 'torch._utils._rebuild_tensor_v2';
const ORDERED_DICT = 'collections.OrderedDict';
/** The names of modules that a pickle may name: compared, never looked up. */
export const KNOWN_GLOBALS: ReadonlySet<string> = new Set([
  REBUILD,
  ORDERED_DICT,
  ...Object.keys(STORAGES).map((name) => `torch.${name}`),
]);

const CONVERT =
  'json.dump([x.tolist() if hasattr(x, "tolist") else list(x) for x in torch.load(FILE)], …) or write ids and losses to parquet';

/** What would have to be executed. */
export const unsafe = (path: string, what: string): TokensieveError =>
  inputError(
    'unsafe-pickle',
    `${path}: the pickle holds ${what}, which is neither a list of numbers nor a float tensor; nothing of it is executed here. Convert it where you trust it: ${CONVERT}`,
  );

/** What a call comes to: only tensors are made, and the empty dictionary of their hooks. */
export function built(called: Value, args: Value, path: string): Value {
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
export function storageOf(id: Value, path: string): Value {
  const [tag, type, key] = isObject(id) && id.kind === 'tuple' ? id.items : [];
  const name = isObject(type) && type.kind === 'global' ? type.name.replace(/^torch\./, '') : '';
  if (tag !== 'storage' || typeof key !== 'string' || !Object.hasOwn(STORAGES, name)) {
    throw unsafe(path, 'a reference that is no float storage');
  }
  return { kind: 'storage', key, type: STORAGES[name as keyof typeof STORAGES] };
}

/** Item `index` of the list that all is in. @throws TokensieveError `bad-source` (input) */
export function asItem(value: Value, path: string, index: number): PickledItem {
  if (typeof value === 'number') return value;
  if (isObject(value) && (value.kind === 'list' || value.kind === 'tensor')) return value;
  throw inputError(
    'bad-source',
    `${path}: item ${index} is neither a list of numbers, a number nor a tensor`,
  );
}
