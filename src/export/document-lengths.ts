import type { PartPlace } from '../dataset/part-files.js';
import { type GrowableInt32, growableInt32 } from './growable.js';
import type { TokenStream } from './rows.js';

/** Tokens of each document of a stream, however batches cut it. */
export interface DocumentLengths {
  add(place: PartPlace, stream: TokenStream): void;
  /** [documents], the last one included. */
  finish(): Int32Array;
}

export function documentLengths(): DocumentLengths {
  const lengths: GrowableInt32 = growableInt32();
  let open: { readonly place: PartPlace; readonly document: bigint } | null = null;
  let tokens = 0;
  const close = (): void => {
    if (open !== null) lengths.push(tokens);
    open = null;
    tokens = 0;
  };
  return {
    add(place, { ids, documents }) {
      for (const [i, { document, start }] of documents.entries()) {
        const end = documents[i + 1]?.start ?? ids.length;
        const isSame =
          open !== null &&
          open.document === document &&
          open.place.shard === place.shard &&
          open.place.part === place.part;
        if (!isSame) {
          close();
          open = { place, document };
        }
        tokens += end - start;
      }
    },
    finish() {
      close();
      return lengths.view();
    },
  };
}
