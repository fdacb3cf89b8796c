import { join } from 'node:path';

/** Where the files of one part lie. Names are fixed, so that any reader finds them from (shard, part) alone. */
export interface PartFiles {
  readonly sequences: string;
  readonly documents: string;
  readonly quarantine: string;
  readonly manifest: string;
}

/** Folder of scored parts below an output folder. */
export const scoredFolder = (out: string): string => join(out, 'scored');

/** @param folder `scored` or a weighted folder · @param shard the shard's name, `/` between its folders */
export function partFiles(folder: string, shard: string, part: number): PartFiles {
  const stem = join(folder, ...shard.split('/'), String(part).padStart(5, '0'));
  return {
    sequences: `${stem}.arrow`,
    documents: `${stem}.documents.arrow`,
    quarantine: `${stem}.quarantine.jsonl`,
    manifest: `${stem}.manifest.json`,
  };
}
