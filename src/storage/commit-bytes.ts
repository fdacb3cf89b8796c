import type { StagingOptions, Storage } from './storage.js';

/** Writes a small file whole: it is there with all of its bytes or not at all. */
export async function commitBytes(
  storage: Storage,
  path: string,
  bytes: Uint8Array,
  options?: StagingOptions,
): Promise<void> {
  const file = await storage.stage(path, options);
  try {
    await file.write(bytes);
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
}
