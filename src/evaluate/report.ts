/** The report, in the shape that lm-evaluation-harness writes, with held-out sets beside its tasks. */
import type { NumericProfile } from '../device/numeric-profile.js';
import type { Estimate, LossSummary } from './estimate.js';
import type { HeldOutSet } from './held-out.js';
import type { Examinee } from './open.js';
import type { TaskResult } from './run-task.js';
import type { EvaluateSettings } from './settings.js';

/** A figure as the harness writes it. */
export type Figure = number | 'N/A';

/** `alias`, then `METRIC,none` and `METRIC_stderr,none` for each metric. */
export type ResultRow = Readonly<Record<string, Figure | string>>;

/** Loss of a set or a domain, serialized. */
export interface LossRecord {
  readonly documents: number;
  readonly tokens: number;
  readonly targets: number;
  readonly bytes: number;
  readonly loss: Figure;
  readonly loss_stderr: Figure;
  readonly perplexity: Figure;
  readonly perplexity_stderr: Figure;
  readonly bits_per_byte: Figure;
  readonly bits_per_byte_stderr: Figure;
}

export interface HeldOutRecord extends LossRecord {
  readonly by: string;
  readonly domains: Readonly<Record<string, LossRecord>>;
  readonly shards: readonly string[];
  readonly text_sha256: string;
  readonly quarantined: Readonly<Record<string, number>>;
  readonly broken_shards: readonly { readonly shard: string; readonly detail: string }[];
}

/** Plain JSON. The same model, files, settings and machine give the same bytes: no times, no hosts. */
export interface EvaluationReport {
  readonly results: Readonly<Record<string, ResultRow>>;
  readonly group_subtasks: Readonly<Record<string, readonly string[]>>;
  readonly configs: Readonly<Record<string, unknown>>;
  readonly versions: Readonly<Record<string, number>>;
  readonly 'n-shot': Readonly<Record<string, number>>;
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
  readonly 'n-samples': Readonly<Record<string, { readonly original: number; readonly effective: number }>>;
  readonly config: Readonly<Record<string, unknown>>;
  readonly task_hashes: Readonly<Record<string, string>>;
  readonly model_name: string;
  readonly model_sha256: string;
  readonly tokenizer_sha256: string;
  readonly held_out: Readonly<Record<string, HeldOutRecord>>;
  /** Lines and rows set aside, by task or set and reason. */
  readonly quarantined: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly tokensieve: { readonly version: string; readonly numeric_profile: NumericProfile };
}

export interface Findings {
  readonly heldOut: ReadonlyMap<string, HeldOutSet>;
  readonly tasks: readonly TaskResult[];
}

/** Key of a held-out set among the results: no task is named so. */
export const heldOutKey = (name: string): string => `held_out_${name}`;

const figure = (value: number | null): Figure => (value === null || !Number.isFinite(value) ? 'N/A' : value);

const metric = (name: string, { value, stderr }: Estimate): ResultRow => ({
  [`${name},none`]: figure(value),
  [`${name}_stderr,none`]: figure(stderr),
});

const lossMetrics = ({ loss, perplexity, bitsPerByte }: LossSummary): ResultRow => ({
  ...metric('loss', loss),
  ...metric('perplexity', perplexity),
  ...metric('bits_per_byte', bitsPerByte),
});

export function lossRecord(summary: LossSummary): LossRecord {
  const { documents, tokens, targets, bytes, loss, perplexity, bitsPerByte } = summary;
  return {
    documents,
    tokens,
    targets,
    bytes,
    loss: figure(loss.value),
    loss_stderr: figure(loss.stderr),
    perplexity: figure(perplexity.value),
    perplexity_stderr: figure(perplexity.stderr),
    bits_per_byte: figure(bitsPerByte.value),
    bits_per_byte_stderr: figure(bitsPerByte.stderr),
  };
}

const byName = <T>(entries: Iterable<readonly [string, T]>): Record<string, T> => Object.fromEntries(entries);

const heldOutRecord = (set: HeldOutSet): HeldOutRecord => ({
  ...lossRecord(set),
  by: set.by,
  domains: byName([...set.domains].map(([name, summary]) => [name, lossRecord(summary)])),
  shards: set.shards,
  text_sha256: set.textSha256,
  quarantined: set.quarantined,
  broken_shards: set.brokenShards,
});

const LOWER_IS_BETTER = { loss: false, perplexity: false, bits_per_byte: false };

/** What was found, in the harness's shape. */
export function reportOf(
  { heldOut, tasks }: Findings,
  {
    info,
    device,
    packing,
    scoring,
    tokenizer,
  }: Pick<Examinee, 'info' | 'device' | 'packing' | 'scoring' | 'tokenizer'>,
  settings: EvaluateSettings,
  software: { readonly version: string; readonly profile: NumericProfile },
): EvaluationReport {
  const sets = [...heldOut];
  return {
    results: {
      ...byName(sets.map(([name, set]) => [heldOutKey(name), { alias: name, ...lossMetrics(set) }])),
      ...byName(tasks.map((one) => [one.task.name, taskRow(one)])),
    },
    group_subtasks: {},
    configs: {
      ...byName(
        sets.map(([name]) => [
          heldOutKey(name),
          { task: heldOutKey(name), output_type: 'loglikelihood_rolling' },
        ]),
      ),
      ...byName(tasks.map((one) => [one.task.name, taskConfig(one)])),
    },
    versions: {
      ...byName(sets.map(([name]) => [heldOutKey(name), 1])),
      ...byName(tasks.map(({ task }) => [task.name, task.version])),
    },
    'n-shot': {
      ...byName(sets.map(([name]) => [heldOutKey(name), 0])),
      ...byName(tasks.map(({ task, shots }) => [task.name, shots])),
    },
    higher_is_better: {
      ...byName(sets.map(([name]) => [heldOutKey(name), LOWER_IS_BETTER])),
      ...byName(
        tasks.map(({ task, accuracy }) => [
          task.name,
          accuracy === null ? LOWER_IS_BETTER : { acc: true, acc_norm: true, acc_bytes: true },
        ]),
      ),
    },
    'n-samples': {
      ...byName(
        sets.map(([name, { documents }]) => [
          heldOutKey(name),
          { original: documents, effective: documents },
        ]),
      ),
      ...byName(tasks.map(({ task, lines, items }) => [task.name, { original: lines, effective: items }])),
    },
    config: {
      model: 'tokensieve',
      model_args: `pretrained=${info.folder}`,
      model_num_parameters: info.parameters,
      model_dtype: info.weightType,
      architecture: info.architecture,
      device,
      limit: settings.limit ?? null,
      max_length: scoring.length,
      batch_tokens: scoring.batchTokens,
      packing: packing.packing,
      attention: packing.attention,
      overlap: packing.packing === 'document' ? packing.overlap : null,
      bos_id: packing.bosId,
      eos_id: packing.eosId,
      eos_eligible: packing.eosEligible,
      control_tokens: settings.tokenizer.control_tokens,
    },
    task_hashes: byName(tasks.map(({ task, fileSha256 }) => [task.name, fileSha256])),
    model_name: info.folder,
    model_sha256: info.hash,
    tokenizer_sha256: tokenizer.hash,
    held_out: byName(sets.map(([name, set]) => [name, heldOutRecord(set)])),
    quarantined: byName(
      [
        ...sets.map(([name, set]) => [heldOutKey(name), quarantinedOf(set)] as const),
        ...tasks.map(({ task, quarantined }) => [task.name, quarantined] as const),
      ].filter(([, reasons]) => Object.keys(reasons).length > 0),
    ),
    tokensieve: { version: software.version, numeric_profile: software.profile },
  };
}

function taskRow({ task, accuracy, answers }: TaskResult): ResultRow {
  if (accuracy === null) return { alias: task.name, ...lossMetrics(answers) };
  const { acc, accNorm, accBytes } = accuracy;
  return {
    alias: task.name,
    ...metric('acc', acc),
    ...metric('acc_norm', accNorm),
    ...metric('acc_bytes', accBytes),
  };
}

const taskConfig = ({ task, style, shots, truncated, answers }: TaskResult): Record<string, unknown> => ({
  task: task.name,
  output_type: task.kind === 'choice' ? 'multiple_choice' : 'loglikelihood',
  choices: style,
  target_delimiter: ' ',
  fewshot_delimiter: '\n\n',
  num_fewshot: shots,
  truncated_items: truncated,
  answer_targets: answers.targets,
  answer_bytes: answers.bytes,
});

const quarantinedOf = ({ quarantined, brokenShards }: HeldOutSet): Readonly<Record<string, number>> => ({
  ...quarantined,
  ...(brokenShards.length > 0 && {
    'broken-shard': (quarantined['broken-shard'] ?? 0) + brokenShards.length,
  }),
});

/** Whether anything was set aside. */
export const hasQuarantined = ({ quarantined }: Pick<EvaluationReport, 'quarantined'>): boolean =>
  Object.keys(quarantined).length > 0;
