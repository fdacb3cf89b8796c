import { z } from 'zod';

/** What a writer of a folder announces of itself. */
export const writerSchema = z.object({
  host: z.string(),
  pid: z.int(),
  /** Start time of the process in clock ticks, where the system tells: a pid alone may have been reused. */
  started: z.string(),
  recipe: z.string(),
});
export type Writer = z.infer<typeof writerSchema>;

export interface WriterClaim {
  release(): Promise<void>;
}
