import { inputError } from '#tokensieve/errors.js';
import type { Storage } from '#tokensieve/storage/storage.js';

export interface Requests {
  readonly stats: string[];
  /** [path, start, end) of every read. */
  readonly reads: [string, number, number][];
}

const unused = (): never => {
  throw new Error('readers do not write');
};

/** Objects in memory, and every request made of them. */
export function memoryStorage(objects: Readonly<Record<string, Uint8Array>>): Storage & Requests {
  const find = (path: string): Uint8Array => {
    const bytes = objects[path];
    if (!bytes) throw inputError('not-found', `${path}: no such object.`);
    return bytes;
  };
  const stats: string[] = [];
  const reads: [string, number, number][] = [];
  return {
    stats,
    reads,
    stat: async (path) => {
      stats.push(path);
      return { size: find(path).length };
    },
    readRange: async (path, start, end) => {
      reads.push([path, start, end]);
      const bytes = find(path);
      if (!(start >= 0 && start <= end && end <= bytes.length)) {
        throw inputError('short-read', `${path}: bytes [${start}, ${end}) of ${bytes.length}.`);
      }
      return bytes.slice(start, end);
    },
    list: async (folder) =>
      Object.keys(objects)
        .filter((path) => path.startsWith(`${folder}/`))
        .sort(),
    stage: unused,
    remove: unused,
  };
}

export const bytesRead = ({ reads }: Requests): number =>
  reads.reduce((sum, [, start, end]) => sum + end - start, 0);
