import { datatrove } from './datatrove.js';
import type { ExportFormat } from './format.js';
import { hf } from './hf.js';
import { jsonl } from './jsonl.js';
import { megatron } from './megatron.js';
import { nanogpt } from './nanogpt.js';
import { olmo } from './olmo.js';
import { parquet } from './parquet.js';
import type { FormatName } from './settings.js';

const ALL: { readonly [K in FormatName]: ExportFormat } = {
  hf,
  nanogpt,
  olmo,
  datatrove,
  megatron,
  parquet,
  jsonl,
};

/** Every format, in the order of the help. A new one is a file, its name in the settings and an entry here. */
export const FORMATS: readonly ExportFormat[] = Object.values(ALL);

export const formatNamed = (name: FormatName): ExportFormat => ALL[name];
