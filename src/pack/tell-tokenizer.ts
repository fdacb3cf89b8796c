import type { EventSink } from '../parts/events.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Says which marks go around documents and by whose word, and what the tokenizer's files have that the user should know. */
export function tellTokenizer(
  tokenizer: Pick<Tokenizer, 'bosId' | 'eosId' | 'bosSource' | 'eosSource' | 'notes'>,
  sink: EventSink,
): void {
  const { bosId, eosId, bosSource, eosSource, notes } = tokenizer;
  sink({
    event: 'note',
    message: `${markText('BOS', bosId, bosSource)}; ${markText('EOS', eosId, eosSource)}`,
  });
  if (bosId === null && eosId === null) {
    sink({
      event: 'warning',
      message: `documents are joined without a mark between them: ${eosSource}; --eos inserts one`,
    });
  }
  for (const message of notes) sink({ event: 'warning', message });
}

const markText = (name: string, id: number | null, source: string): string =>
  id === null ? `no ${name} (${source})` : `${name} is id ${id} (${source})`;
