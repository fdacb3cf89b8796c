import { z } from 'zod';

/** How the buffers of a data set's Arrow files are compressed. */
export const compression = z
  .enum(['none', 'zstd', 'lz4'])
  .default('none')
  .meta({ flag: 'compression', description: 'Compression of the Arrow buffers' });
