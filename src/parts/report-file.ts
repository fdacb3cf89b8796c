import { createHash } from 'node:crypto';
import type { StagedFile, Storage } from '../storage/storage.js';

/** The quarantine report of a part: one JSON line an entry. A part without entries has none. */
export interface Report {
  write(line: string): Promise<void>;
  /** Null when nothing was written; the staged file is then thrown away. */
  finish(): Promise<{ readonly bytes: number; readonly sha256: string; readonly rows: number } | null>;
  /** Without entries it removes the report of an earlier making. */
  commit(): Promise<void>;
  abort(): Promise<void>;
}

export async function openReport(storage: Storage, path: string): Promise<Report> {
  const file: StagedFile = await storage.stage(path);
  const hash = createHash('sha256');
  let bytes = 0;
  let rows = 0;
  return {
    async write(line) {
      const encoded = Buffer.from(`${line}\n`);
      hash.update(encoded);
      bytes += encoded.length;
      rows++;
      await file.write(encoded);
    },
    async finish() {
      if (rows > 0) return { bytes, sha256: hash.digest('hex'), rows };
      await file.abort();
      return null;
    },
    commit: () => (rows > 0 ? file.commit() : storage.remove(path)),
    abort: () => file.abort(),
  };
}
