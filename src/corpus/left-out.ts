/**
 * Files below a folder that are no shards of it. Writers leave copies of rows in `_temporary`, `_delta_log`, `.part-0.crc`, and Spark, Hive,
 * pyarrow.dataset and datasets pass over names that begin so, at every level. `_year=2024` is a partition, as in Spark.
 */
import picomatch from 'picomatch';

const isHidden = (step: string): boolean =>
  step.startsWith('.') || (step.startsWith('_') && !step.includes('='));

/** Whether a path below a folder has a step that is passed over. */
export const isLeftOut = (below: string): boolean => below.split('/').some(isHidden);

/** The same for what a glob matched: a step that the glob spells itself, as `_raw/*.parquet` does, is what was asked for. */
export function isLeftOutOf(glob: string): (below: string) => boolean {
  const spelt = glob
    .split('/')
    .filter((step) => /^(\{[^}]*)?[_.[]/.test(step))
    .map((step) => picomatch(step, { dot: true }));
  return (below) =>
    below.split('/').some((step) => isHidden(step) && !spelt.some((matches) => matches(step)));
}

/** Names of corpora in forms that are not read, and of files that were not finished. */
const LIKE_A_SHARD =
  /\.(jsonl|ndjson|json|parquet|pq|arrow|feather|avro|orc|csv|tsv)(\.\w+)?$|\.(part|tmp|crdownload|incomplete|download|inprogress|_COPYING_)$/i;
/** What lies in repositories of data beside the shards. */
const BESIDE =
  /(^|\/)(package|config|dataset_infos|dataset_info|state|generation_config|tokenizer|tokenizer_config|[\w.-]*manifest|run|export)\.json$/i;

const MOST_NAMED = 3;

const named = (files: readonly string[]): string =>
  files.slice(0, MOST_NAMED).join(', ') + (files.length > MOST_NAMED ? ', …' : '');

export interface Leaving {
  /** Paths below the folder: shards that were passed over, and the other files. */
  readonly hidden: readonly string[];
  readonly others: readonly string[];
  readonly taken: readonly string[];
  /** Links to folders, which are not followed. */
  readonly linked: readonly string[];
}

/** What is to be told of a folder's or glob's files, a line each. */
export function leavingNotes(pattern: string, { hidden, others, taken, linked }: Leaving): string[] {
  const notes: string[] = [];
  const count = (files: readonly string[]): string =>
    `${files.length} ${files.length === 1 ? 'file' : 'files'}`;
  if (hidden.length > 0) {
    notes.push(
      `${pattern}: left out ${count(hidden)} below names that begin with _ or . (${named(hidden)}); name them outright to read them`,
    );
  }
  if (linked.length > 0) {
    const links = linked.length === 1 ? '1 link to a folder' : `${linked.length} links to folders`;
    notes.push(`${pattern}: did not follow ${links} (${named(linked)}); name them outright to read them`);
  }
  const alike = others.filter((file) => LIKE_A_SHARD.test(file) && !BESIDE.test(file) && !isLeftOut(file));
  if (alike.length > 0) {
    notes.push(`${pattern}: left out ${count(alike)} of forms that are not read (${named(alike)})`);
  }
  const twins = taken.filter(
    (file) => /\.(gz|zst)$/i.test(file) && taken.includes(file.replace(/\.\w+$/, '')),
  );
  if (twins.length > 0) {
    notes.push(
      `${pattern}: ${count(twins)} beside one of the same name without the compression (${named(twins)}): if they hold the same rows, these count twice`,
    );
  }
  const again = inOtherSnapshots(taken);
  if (again.length > 0) {
    notes.push(
      `${pattern}: ${count(again)} in more than one snapshot of a Hub cache (${named(again)}), whose rows count as often; name one folder below snapshots/`,
    );
  }
  return notes;
}

/** Files that an earlier snapshot of the same repository has too: a cache keeps every revision that was ever fetched. */
function inOtherSnapshots(taken: readonly string[]): string[] {
  const seen = new Set<string>();
  return taken.filter((path) => {
    const [, repository, file] = /^(.*\/|)snapshots\/[^/]+\/(.+)$/.exec(path) ?? [];
    if (repository === undefined || file === undefined) return false;
    const key = `${repository}\0${file}`;
    const isAgain = seen.has(key);
    seen.add(key);
    return isAgain;
  });
}
