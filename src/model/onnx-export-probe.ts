/**
 * The probe that every export goes through before its first run: a few short rows, alone, beside others, and with another
 * end. What a graph's operators mean cannot be read from its file; whether a loss belongs to its row can be measured.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GraphProto } from 'onnx-buf';
import { fatalError, firstLine } from '../errors.js';
import { isBroken, sealed } from '../json/sealed.js';
import { encodeModel } from '../onnx/proto.js';
import * as ort from '../onnx/runtime.js';
import { type OpenedExport, rawLogits } from './onnx-export-build.js';
import {
  farthest,
  lengths,
  lossesAlone,
  lossesBeside,
  type Row,
  randomRow,
  rowGaps,
} from './onnx-export-gaps.js';
import {
  findSwitches,
  type LengthSwitch,
  lengthGraph,
  rungs,
  withOutputs,
  withoutSquares,
} from './onnx-export-lengths.js';
import { type GraphRunner, openRunner } from './onnx-export-runner.js';
import {
  boundOf,
  countDynamicNodes,
  type ExportVerdict,
  frozenLongrope,
  judge,
  parseVerdict,
  verdictText,
} from './onnx-export-verdict.js';
import type { Device } from './prepared-model.js';

/** Raised when the same export could be judged otherwise. */
const PROBE_VERSION = 2;
/** Loading included. Rows are so few and short that a model of billions of parameters takes seconds. */
const TIMEOUT_MS = 300_000;
/** What the two rows at a switch of length may take: seconds on a few cores, and no more memory than a small batch. */
const MAX_SWITCH_LENGTH = 1024; // attention grows with its square
const MAX_SWITCH_FLOPS = 2e12;
const MAX_SWITCH_BYTES = 2 ** 28;
/** Where nothing says how long rows may be. */
const LONGEST = 2 ** 17;

export interface ProbeSettings {
  readonly device: Device;
  readonly cacheFolder: string | null;
}

/**
 * Probes an export in a process of its own, or remembers the verdict of an earlier probe of the same bytes by the same runtime.
 * @throws fatal `onnx-run-failed` where the runtime cannot run it, `onnx-last-logits`; and whatever `judge` throws
 */
export async function probeExport(opened: OpenedExport, settings: ProbeSettings): Promise<ExportVerdict> {
  const { file, graphs, info } = opened;
  const { device, cacheFolder } = settings;
  const bytes = encodeModel(opened.modelOf(graphs.probe));
  const key = createHash('sha256')
    .update(
      [
        PROBE_VERSION,
        runtimeVersion(),
        device,
        info.hash,
        info.maxPositions,
        file.config.longropeFrom,
        idsOf(opened),
      ].join('\t'),
    )
    .update(bytes)
    .digest('hex');
  const memo = cacheFolder === null ? null : join(cacheFolder, 'probes', `${key}.json`);
  const verdict = (await recall(memo)) ?? (await measure(opened, bytes, settings));
  await remember(memo, verdict);
  judge(verdict, file.path);
  return verdict;
}

/** Ids that the model can be given: a head padded to a round number may have more columns than the embedding has rows. */
const idsOf = ({ file: { config }, info }: OpenedExport): number =>
  Math.min(info.vocabularySize, config.vocabularySize ?? info.vocabularySize);

const runtimeVersion = (): string => ort.env.versions.node ?? ort.env.versions.common;

async function measure(
  opened: OpenedExport,
  bytes: Uint8Array,
  { device, cacheFolder }: ProbeSettings,
): Promise<ExportVerdict> {
  const { file, graphs, info } = opened;
  if (cacheFolder !== null) await mkdir(cacheFolder, { recursive: true });
  const scratch = await mkdtemp(join(cacheFolder ?? tmpdir(), 'probe-'));
  const runner = openRunner(TIMEOUT_MS);
  let written = 0;
  const load = async (graph: Uint8Array, on: Device): Promise<void> => {
    const path = join(scratch, `${written++}.onnx`);
    await writeFile(path, graph);
    await runner.load(path, file.weightsFolder, on, availableParallelism());
  };
  const loadGraph = (graph: GraphProto): Promise<void> => load(encodeModel(opened.modelOf(graph)), 'cpu');
  try {
    const switches = await switchesOf(graphs.probe, runner, loadGraph, info.maxPositions ?? LONGEST);
    const row = randomRow(idsOf(opened));
    try {
      await load(bytes, device);
      const found = await rowGaps(runner, row, info.vocabularySize);
      const affordable = (length: number): boolean =>
        length <= MAX_SWITCH_LENGTH &&
        3 * length * info.flopsPerToken.matmul <= MAX_SWITCH_FLOPS &&
        12 * length * info.vocabularySize <= MAX_SWITCH_BYTES;
      return {
        ...found,
        bound: boundOf(graphs.probe),
        dynamicNodes: countDynamicNodes(graphs.probe),
        lengthSwitch:
          (await firstSwitch(runner, row, switches, affordable, boundOf(graphs.probe))) ??
          frozenSwitch(opened),
      };
    } catch (error) {
      const rawTokens = async (): Promise<number> => {
        await load(encodeModel(opened.modelOf(graphs.logits)), device);
        const [logits] = await runner.run([row(lengths.short, 0)], [rawLogits]);
        return logits?.dims[1] ?? 0;
      };
      throw await explain(error, opened, device, rawTokens);
    }
  } finally {
    runner.close();
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Where the graph's numbers of lengths begin to be others, run without its weights. */
async function switchesOf(
  scoring: GraphProto,
  runner: GraphRunner,
  load: (graph: GraphProto) => Promise<void>,
  longest: number,
): Promise<LengthSwitch[]> {
  const found = lengthGraph(scoring);
  if (found === null) return [];
  const row = (length: number): number[] => Array<number>(length).fill(0);
  try {
    await load(found.graph);
    const sizesAt = async (length: number): Promise<number[]> =>
      (await runner.run([row(length), row(length)], found.values)).map(({ data }) => data.length);
    const cheap = withoutSquares(found, await sizesAt(24), await sizesAt(48));
    const values = cheap.values.filter(({ size }) => size === 1).map(({ name }) => name);
    if (values.length === 0) return [];
    await load(withOutputs(cheap.graph, values));
    return await findSwitches(values, rungs(longest), async (length) => {
      const outputs = await runner.run([row(length)], values);
      return outputs.map(({ data }) => data[0] ?? Number.NaN);
    });
  } catch {
    return []; // What the runtime cannot do with this part it cannot do with the whole: said there.
  }
}

/** The first switch at which a row's losses change, or may: where rows of that length are too costly to run. */
async function firstSwitch(
  runner: GraphRunner,
  row: Row,
  switches: readonly LengthSwitch[],
  affordable: (length: number) => boolean,
  bound: number,
): Promise<ExportVerdict['lengthSwitch']> {
  const tried = new Set<number>();
  for (const { length, value } of switches) {
    if (tried.has(length)) continue;
    tried.add(length);
    if (!affordable(length)) return { length, value, gap: null };
    const rows = [row(length, 4), row(length + 1, 5)];
    const alone = await lossesAlone(runner, rows[0] ?? []);
    const gap = farthest([alone], await lossesBeside(runner, rows));
    if (gap === null || gap > bound) return { length, value, gap };
  }
  return null;
}

/**
 * An exporter that follows one short row writes one table of frequencies where the model has two: no probe of the graph can
 * tell, but the configuration does.
 */
function frozenSwitch({ file: { config }, info }: OpenedExport): ExportVerdict['lengthSwitch'] {
  const length = config.longropeFrom;
  if (length === null || (info.maxPositions !== null && info.maxPositions <= length)) return null;
  return { length, value: frozenLongrope, gap: null };
}

/**
 * Why the runtime could not run the graph: in the terms of the export where that can be told.
 * @param rawTokens tokens that the export's own logits are given of, for a row of `lengths.short`
 */
async function explain(
  error: unknown,
  { file, graphs }: OpenedExport,
  device: Device,
  rawTokens: () => Promise<number>,
): Promise<Error> {
  const failed = fatalError(
    'onnx-run-failed',
    `${file.path}: does not run on a few short rows (device ${device}: ${firstLine(error)}); expected a graph that takes any batch: export it again with batch and length free, or use the checkpoint`,
    { cause: error },
  );
  try {
    const given = await rawTokens();
    if (given === lengths.short) return failed;
    return fatalError(
      'onnx-last-logits',
      `${file.path}: gives logits of ${given} tokens for a row of ${lengths.short} (of ${graphs.vocabularySize} columns); expected those of every token: export it without keeping the last alone (num_logits_to_keep, logits_to_keep)`,
    );
  } catch {
    return failed;
  }
}

async function recall(path: string | null): Promise<ExportVerdict | null> {
  if (path === null) return null;
  try {
    const text = await readFile(path, 'utf8');
    return isBroken(JSON.parse(text)) ? null : parseVerdict(text);
  } catch {
    return null; // Absent or damaged: it is probed again.
  }
}

/** A cache that cannot be written costs the next probe, nothing more. */
async function remember(path: string | null, verdict: ExportVerdict): Promise<void> {
  if (path === null) return;
  const staging = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(staging, JSON.stringify(sealed(JSON.parse(verdictText(verdict)))));
    await rename(staging, path);
  } catch {
    await rm(staging, { force: true }).catch(() => undefined);
  }
}
