import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { hashBytes } from '../../model/hash.js';
import type { QuarantinePage } from '../api.js';
import type { DonePart, PartsReader } from './manifests.js';
import type { PartsFolder } from './record.js';

/** A shard that could not be opened at all: only the log knows of it. */
export interface BrokenShard {
  readonly shard: string;
  readonly detail: string;
}

const lineSchema = z.object({ row: z.int().min(0), reason: z.string(), detail: z.string() });

/** Bytes read of one report at most: reasons come from the manifests, rows are examples. */
const MAX_REPORT_BYTES = 4 << 20;

/** What a job has set aside: how much for which reason, and the first `limit` rows. */
export async function quarantineOfJob(
  reader: PartsReader,
  folders: readonly PartsFolder[],
  broken: readonly BrokenShard[],
  limit: number,
): Promise<QuarantinePage> {
  const reasons: Record<string, number> = {};
  const rows: QuarantinePage['rows'] = broken
    .slice(0, limit)
    .map(({ shard, detail }) => ({ shard, part: null, row: 0, reason: 'broken-shard', detail }));
  if (broken.length > 0) reasons['broken-shard'] = broken.length;
  // Weighted parts repeat what their scored ones have set aside.
  for (const folder of folders.filter(({ kind }) => kind !== 'weighted')) {
    for (const part of await reader.read(folder)) {
      for (const [reason, count] of Object.entries(part.counts.quarantined)) {
        reasons[reason] = (reasons[reason] ?? 0) + count;
      }
      if (part.quarantine !== null && rows.length < limit) {
        rows.push(...(await rowsOf(part, part.quarantine, limit - rows.length)));
      }
    }
  }
  const total = Object.values(reasons).reduce((sum, count) => sum + count, 0);
  return { total, reasons, rows };
}

/** Reports found whole or damaged, by path, time and digest: pages are asked for again and again. */
const looked = new Map<string, boolean>();
const MAX_LOOKED = 10_000;

async function isDamaged(path: string, sha256: string): Promise<boolean> {
  // A report that is gone was of a part that is being made again.
  const found = await stat(path, { bigint: true }).catch(() => null);
  if (found === null) return false;
  const key = `${path}\n${found.mtimeNs}\n${found.size}\n${sha256}`;
  const known = looked.get(key);
  if (known !== undefined) return known;
  const damaged = (await hashBytes(path).catch(() => sha256)) !== sha256;
  if (looked.size >= MAX_LOOKED) looked.clear();
  looked.set(key, damaged);
  return damaged;
}

async function rowsOf(
  { shard, part }: DonePart,
  { path, sha256 }: NonNullable<DonePart['quarantine']>,
  limit: number,
): Promise<QuarantinePage['rows']> {
  if (await isDamaged(path, sha256)) {
    const detail = `${path}: is damaged, its digest is not that of its manifest; run tokensieve verify`;
    return [{ shard, part, row: 0, reason: 'damaged-report', detail }];
  }
  const rows: QuarantinePage['rows'] = [];
  const input = createReadStream(path, { encoding: 'utf8', end: MAX_REPORT_BYTES });
  // A report that is gone was of a part that is being made again.
  input.on('error', () => undefined);
  try {
    for await (const line of createInterface({ input })) {
      if (rows.length >= limit) break;
      const parsed = lineSchema.safeParse(jsonOf(line));
      if (parsed.success) rows.push({ shard, part, ...parsed.data });
    }
  } finally {
    input.destroy();
  }
  return rows;
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
