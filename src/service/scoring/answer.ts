import type { ScoredText, ScoreResponse } from './schemas.js';

/** Numbers a piece: about a millisecond of work. */
const PIECE = 4096;

/**
 * The JSON of a response, piece by piece. The answer to the largest request has megabytes, and making it in one go
 * would keep every other request waiting for a tenth of a second.
 */
export function* answerPieces({ results, ...rest }: ScoreResponse): Generator<string> {
  yield `${JSON.stringify(rest).slice(0, -1)},"results":[`;
  for (const [index, result] of results.entries()) {
    if (index > 0) yield ',';
    yield* resultPieces(result);
  }
  yield ']}';
}

function* resultPieces({ tokens, ...rest }: ScoredText): Generator<string> {
  yield `${JSON.stringify(rest).slice(0, -1)},"tokens":{`;
  for (const [index, [name, values]] of Object.entries(tokens).entries()) {
    yield `${index > 0 ? ',' : ''}"${name}":`;
    if (values === null) yield 'null';
    else yield* listPieces(values);
  }
  yield '}}';
}

function* listPieces(values: readonly (number | null)[]): Generator<string> {
  if (values.length <= PIECE) {
    yield JSON.stringify(values);
    return;
  }
  for (let from = 0; from < values.length; from += PIECE) {
    const piece = JSON.stringify(values.slice(from, from + PIECE)).slice(1, -1);
    yield `${from > 0 ? ',' : '['}${piece}`;
  }
  yield ']';
}
