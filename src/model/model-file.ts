import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type FilePin, pinFile } from '../storage/file-pin.js';

/** A file that defines the model: its name in the folder, its real path behind any links, and what it was before it was read. */
export interface ModelFile extends FilePin {
  readonly name: string;
}

/** A file, what it was before it was hashed, and the hash. */
export interface HashedFile extends FilePin {
  readonly sha256: string;
}

/** To be asked for before anything of the file is read. */
export const modelFile = async (folder: string, name: string): Promise<ModelFile> => ({
  name,
  ...(await pinFile(await realpath(join(folder, name)))),
});
