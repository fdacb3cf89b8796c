import { joinPath, normalPath, pathBelow } from '../storage/path.js';

/** A part by its name. */
export interface PartPlace {
  readonly shard: string;
  readonly part: number;
}

/** Where the files of one part lie. Names are fixed, so that any reader finds them from (shard, part) alone. */
export interface PartFiles {
  readonly sequences: string;
  readonly documents: string;
  readonly quarantine: string;
  readonly manifest: string;
}

/** Folders of scored, weighted and packed parts below an output folder. */
export const scoredFolder = (out: string): string => joinPath(out, 'scored');
export const weightedFolder = (out: string): string => joinPath(out, 'weighted');
export const packedFolder = (out: string): string => joinPath(out, 'packed');

/** @param folder of scored, weighted or packed parts · @param shard the shard's name, `/` between its folders */
export function partFiles(folder: string, shard: string, part: number): PartFiles {
  const stem = joinPath(folder, ...shard.split('/'), String(part).padStart(5, '0'));
  return {
    sequences: `${stem}.arrow`,
    documents: `${stem}.documents.arrow`,
    quarantine: `${stem}.quarantine.jsonl`,
    manifest: `${stem}.manifest.json`,
  };
}

/** The part whose manifest has this path below `folder`; null for every other path. */
export function placeOfManifest(folder: string, path: string): PartPlace | null {
  const name = pathBelow(folder, path) ?? '';
  const [, shard, part] = /^(.+)\/(\d{5,15})\.manifest\.json$/.exec(name) ?? [];
  if (shard === undefined || part === undefined) return null;
  const place = { shard, part: Number(part) };
  return partFiles(folder, shard, place.part).manifest === normalPath(path) ? place : null;
}
