/** Changes of JSON by its structure, written as text, since the text can say more than a parsed value: keys twice, -0, 1e999. */

/** Text that stands for itself in the output. */
class Raw {
  constructor(text) {
    this.text = text;
  }
}

const nested = (draw) => {
  const depth = draw.pick([3, 40, 200, 1000, 5000, 20_000, 200_000]);
  const [open, close] = draw.pick([
    ['[', ']'],
    ['{"a":', '}'],
    ['{"type":"Sequence","pretokenizers":[', ']}'],
    ['{"type":"Sequence","normalizers":[', ']}'],
  ]);
  return new Raw(
    open.repeat(depth) + draw.pick(['', '1', 'null']) + close.repeat(draw.chance(0.9) ? depth : depth - 1),
  );
};

const NUMBERS = [
  '0',
  '-0',
  '1',
  '-1',
  '0.5',
  '1e999',
  '-1e999',
  '1e308',
  '9007199254740993',
  '2147483647',
  '2147483648',
  '4294967296',
  '18446744073709551616',
  '1e-320',
  'NaN',
  'Infinity',
  '0x10',
  '1_000',
  '00',
  '-',
];

const TEXTS = (draw) =>
  draw.pick([
    '',
    ' ',
    '\u0000',
    '__proto__',
    'constructor',
    'toString',
    '..',
    '../../x',
    '/etc/passwd',
    'a/../b',
    '.',
    '\\',
    '\ud800',
    '\udc00x',
    '\u202e',
    '\ufeff',
    '\u2028',
    'İ',
    'ß',
    '<s>',
    '</s>',
    '▁',
    'Ġ',
    '$&',
    '$`',
    '%s',
    '\n',
    'a\nb',
    '\u001b[31m',
    '<script>',
    '🎉',
    draw.pick(draw.paths ?? ['x']),
    'x'.repeat(draw.pick([100, 5000, 100_000])),
    'é'.repeat(3000),
  ]);

export function hostileValue(draw) {
  switch (draw.below(9)) {
    case 0:
      return null;
    case 1:
      return draw.chance(0.5);
    case 2:
    case 3:
      return new Raw(draw.pick(NUMBERS));
    case 4:
    case 5:
      return TEXTS(draw);
    case 6:
      return Array.from({ length: draw.small(20) }, () =>
        hostileValue({ ...draw, below: (n) => Math.min(draw.below(n), 5) }),
      );
    case 7:
      return draw.chance(0.3) ? nested(draw) : {};
    default:
      return { [TEXTS(draw)]: TEXTS(draw) };
  }
}

/** Paths to the values of a tree, its own first. */
function places(value, path = [], found = [], limit = 4000) {
  found.push(path);
  if (found.length < limit && typeof value === 'object' && value !== null && !(value instanceof Raw)) {
    for (const key of Object.keys(value).slice(0, 300)) places(value[key], [...path, key], found, limit);
  }
  return found;
}

/** One change of a tree, in place where it can be. */
function changeTree(draw, root) {
  const path = draw.pick(places(root));
  if (path.length === 0) return draw.chance(0.1) ? hostileValue(draw) : root;
  const parent = path.slice(0, -1).reduce((at, key) => at[key], root);
  const key = path.at(-1);
  const value = parent[key];
  const set = (to) =>
    Object.defineProperty(parent, key, { value: to, enumerable: true, configurable: true, writable: true });
  switch (draw.below(8)) {
    case 0:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      return root;
    case 1:
      if (Array.isArray(parent)) parent.splice(Number(key), 0, ...Array(1 + draw.small(50)).fill(value));
      else {
        const to = draw.chance(0.5) ? draw.pick(Object.keys(parent)) : String(TEXTS(draw));
        Object.defineProperty(parent, to, { value, enumerable: true, configurable: true, writable: true });
      }
      return root;
    case 2: {
      const other = draw.pick(places(root));
      set(structuredCloneRaw(other.reduce((at, step) => at?.[step], root)));
      return root;
    }
    case 3:
      if (typeof value === 'number') {
        set(
          draw.pick([
            value + 1,
            value - 1,
            -value,
            value * 2,
            value * 1000,
            value + 0.5,
            0,
            2 ** 31,
            2 ** 53,
            String(value),
          ]),
        );
        return root;
      }
      if (typeof value === 'string' && value.length > 0) {
        const at = draw.below(value.length);
        set(value.slice(0, at) + TEXTS(draw) + value.slice(draw.chance(0.5) ? at : at + 1));
        return root;
      }
      set(hostileValue(draw));
      return root;
    case 4:
      if (typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Raw)) {
        value[TEXTS(draw)] = hostileValue(draw);
        return root;
      }
      set(hostileValue(draw));
      return root;
    default:
      set(hostileValue(draw));
      return root;
  }
}

const structuredCloneRaw = (value) =>
  value instanceof Raw
    ? value
    : Array.isArray(value)
      ? value.map(structuredCloneRaw)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, structuredCloneRaw(inner)]))
        : value;

function write(draw, value) {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return `[${value.map((item) => write(draw, item)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(
      ([key, inner]) => `${JSON.stringify(key)}:${write(draw, inner)}`,
    );
    if (members.length > 0 && draw.chance(0.005)) members.push(draw.pick(members));
    return `{${members.join(',')}}`;
  }
  if (typeof value === 'bigint') return String(value);
  return JSON.stringify(value) ?? 'null';
}

/** The text of `value` after some changes. `value` itself stays as it is. */
export function changeJson(draw, value, changes = draw.small(5) + 1) {
  let tree = structuredCloneRaw(value);
  for (let i = 0; i < changes; i++) {
    if (typeof tree !== 'object' || tree === null || tree instanceof Raw) break;
    tree = changeTree(draw, tree);
  }
  return write(draw, tree);
}
