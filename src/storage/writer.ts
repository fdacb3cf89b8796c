import { z } from 'zod';

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
