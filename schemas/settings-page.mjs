/**
 * docs/settings.md from schemas/pipeline.json, which comes from the settings' one source in src/. `generate.mjs` writes it.
 */

/** What each kind of stage is the settings of, in a pipeline's order. */
const STAGES = {
  pack: 'Tokenize and pack shards; no model is read',
  score: 'Losses of every token under one or two models',
  import: 'Losses that were computed elsewhere',
  select: 'Weights from losses',
  train: 'A model trained on all tokens or on selected ones',
  eval: 'Held-out loss and tasks',
  export: 'Tokens and weights for other trainers',
  audit: 'A page of what was kept and dropped',
  report: 'Training runs held against each other',
};

/** @typedef {Record<string, any>} Schema */

/** The page. @param {Schema} pipeline the schema of a pipeline file, of either form @returns {string} Markdown */
export function settingsPage(pipeline) {
  const [single, staged] = pipeline.anyOf;
  const stage = staged.properties.stages.items;
  const { stages: _, ...top } = staged.properties;
  return [
    '# Every setting',
    '',
    'Written by `node schemas/generate.mjs` from the schemas that check the settings; a test fails where it is not what that would write. An editor knows',
    'the same from the first line of a pipeline file, `# yaml-language-server: $schema=…/schemas/pipeline.json`, which `tokensieve init` writes.',
    '',
    'A file is either the settings of one run (those of `score`, with `select` as a section of it), or has `stages`, a list in which each has one of the',
    'keys below. A key of a section is written below it: `sequence.length` is `length` under `sequence`, and `--set sequence.length=1024` on a command line.',
    'The column *flag* names what the stage’s own command calls it. A default of – is none: the setting is left out, or, where it says so, is needed.',
    '',
    '## A file of stages',
    '',
    ...tableOf({ ...staged, properties: top }),
    `| \`stages[].name\` | ${typeOf(stage.properties.name)} | – |  | ${cell(stage.properties.name.description)} |`,
    '',
    ...Object.entries(STAGES).flatMap(([kind, title]) => [
      `## ${kind}`,
      '',
      `${title}.`,
      '',
      ...tableOf(stage.properties[kind]),
      '',
    ]),
    '## A file of one run',
    '',
    `The settings of \`score\` and \`select\`: ${Object.keys(single.properties)
      .map((key) => `\`${key}\``)
      .join(', ')}.`,
    '',
  ].join('\n');
}

/** @param {Schema} schema */
const tableOf = (schema) => [
  '| setting | type | default | flag | meaning |',
  '|---|---|---|---|---|',
  ...rowsOf(schema, ''),
];

/** A row for each setting below `path`; sections by what is in them. @param {Schema} schema @param {string} path @returns {string[]} */
function rowsOf(schema, path) {
  return Object.entries(objectOf(schema)?.properties ?? {}).flatMap(([key, field]) => {
    const name = path === '' ? key : `${path}.${key}`;
    const needed = (objectOf(schema)?.required ?? []).includes(key);
    const items = objectOf(field.items ?? {});
    const below = objectOf(field);
    const own = below?.properties === undefined || field.description !== undefined || field.anyOf !== undefined;
    return [
      ...(own ? [rowOf(name, field, needed)] : []),
      ...(below?.properties === undefined ? [] : rowsOf(field, name)),
      ...(items?.properties === undefined ? [] : rowsOf(items, `${name}[]`)),
    ];
  });
}

/** @param {string} name @param {Schema} field @param {boolean} needed */
function rowOf(name, field, needed) {
  const { default: fallback, flag, description = '' } = field;
  const shown = fallback === undefined || isEmpty(fallback) ? (needed ? 'needed' : '–') : `\`${cell(JSON.stringify(fallback))}\``;
  return `| \`${name}\` | ${typeOf(field)} | ${shown} | ${flag === undefined ? '' : `\`--${flag}\``} | ${cell(description)} |`;
}

/** @param {unknown} value */
const isEmpty = (value) => typeof value === 'object' && value !== null && Object.keys(value).length === 0;

/** The schema of an object, also where a short form may stand for it. @param {Schema} schema @returns {Schema | undefined} */
const objectOf = (schema) =>
  schema.type === 'object' ? schema : (schema.anyOf ?? schema.oneOf)?.map(objectOf).find(Boolean);

/** A type in words. @param {Schema} schema @returns {string} */
function typeOf(schema) {
  if (schema.enum !== undefined) return schema.enum.map((/** @type {unknown} */ one) => `\`${one}\``).join(' ');
  if (schema.const !== undefined) return `\`${schema.const}\``;
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) return [...new Set(options.map(typeOf))].join(' or ');
  switch (schema.type) {
    case 'array':
      if (schema.prefixItems !== undefined) return `[${schema.prefixItems.map(typeOf).join(', ')}]`;
      return `list of ${typeOf(schema.items ?? {})}`;
    case 'object':
      return schema.properties === undefined && typeof schema.additionalProperties === 'object'
        ? `names to ${typeOf(schema.additionalProperties)}`
        : 'section';
    case 'integer':
    case 'number':
      return `${schema.type === 'integer' ? 'whole number' : 'number'}${rangeOf(schema)}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return 'text';
    case 'null':
      return 'null';
    default:
      return 'anything';
  }
}

/** Bounds that somebody chose; the largest whole number that can be held is none. @param {Schema} schema */
function rangeOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  const above = exclusiveMinimum !== undefined ? `> ${exclusiveMinimum}` : minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? `≥ ${minimum}` : '';
  const below = exclusiveMaximum !== undefined ? `< ${exclusiveMaximum}` : maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? `≤ ${maximum}` : '';
  const bounds = [above, below].filter(Boolean).join(', ');
  return bounds === '' ? '' : ` ${bounds}`;
}

/** Text that stays within its cell of a table. @param {string} text */
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
