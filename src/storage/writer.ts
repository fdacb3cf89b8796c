import { hostname } from 'node:os';
import { z } from 'zod';
import { type TokensieveError, usageError } from '../errors.js';
import { processSpace, startOfProcess } from './process-identity.js';

/** What a writer of a folder announces of itself. */
export const writerSchema = z.object({
  host: z.string(),
  /** Where the pid means something: containers may share a host's name and not its processes. */
  space: z.string().default(''),
  pid: z.int(),
  /** Start time of the process in clock ticks, where the system tells: a pid alone may have been reused. */
  started: z.string(),
  recipe: z.string(),
});
export type Writer = z.infer<typeof writerSchema>;

/** What this process announces. @param recipe hash of everything that determines the bytes written */
export async function thisWriter(recipe: string): Promise<Writer> {
  const { pid } = process;
  return { host: hostname(), space: processSpace(), pid, started: await startOfProcess(pid), recipe };
}

export const folderBusy = (folder: string, { pid, host }: Writer): TokensieveError =>
  usageError(
    'folder-busy',
    `${folder}: process ${pid} on ${host} is writing here with other settings; wait for it, stop it, or choose another --out`,
  );

export interface WriterClaim {
  /** Raised, with the error to report, when the announcement is found gone. Of local folders. */
  readonly signal?: AbortSignal;
  /**
   * Of local folders.
   * @throws TokensieveError fatal `claim-lost` when the announcement is gone, and with it perhaps finished parts
   */
  check?(): Promise<void>;
  /** Never throws on local disk: an announcement that cannot be removed is that of a dead process soon. */
  release(): Promise<void>;
}
