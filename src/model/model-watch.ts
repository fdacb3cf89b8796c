/**
 * The files of an open model, looked at again. ONNX Runtime maps weights for as long as a session lives, and a trainer, `cp` or
 * `rsync` may write over them or put others in their place meanwhile: losses would then be of no model that ever was.
 */
import { fatalError } from '../errors.js';
import { hasMoved, pinFile } from '../storage/file-pin.js';
import { hashBytes } from './hash.js';
import type { HashedFile } from './model-file.js';

export interface ModelWatch {
  /**
   * To be asked after a session is open, and before anything that a manifest, an answer or a report says of the model is
   * written: a look at each file, and its hash again where it has moved.
   * @throws TokensieveError (fatal) `model-changed` naming the file
   */
  look(): Promise<void>;
}

/** @param folder of the model, for messages */
export function watchModel(folder: string, hashed: readonly HashedFile[]): ModelWatch {
  const files = [...hashed];
  let looking: Promise<void> | null = null;
  const look = async (): Promise<void> => {
    for (const [index, file] of files.entries()) {
      if (!(await hasMoved(file))) continue;
      files[index] = await again(folder, file);
    }
  };
  return {
    // Lanes and requests that ask at once share a look only if it began after they asked.
    async look() {
      await looking?.catch(() => undefined);
      looking ??= look().finally(() => {
        looking = null;
      });
      await looking;
    },
  };
}

/** A link made to the file, other rights or times: its bytes are the same. */
async function again(folder: string, { path, sha256 }: HashedFile): Promise<HashedFile> {
  const changed = (found: string, options?: ErrorOptions) =>
    fatalError(
      'model-changed',
      `${path}: ${found} since ${folder} was opened; what was computed since is not kept: run the command again once the model no longer changes, or give it a copy`,
      options,
    );
  const gone = (cause: unknown): never => {
    throw changed('was removed or cannot be read', { cause });
  };
  const pin = await pinFile(path).catch(gone);
  const found = await hashBytes(path).catch(gone);
  if (found === sha256 && !(await hasMoved(pin))) return { ...pin, sha256 };
  throw changed('was changed');
}
