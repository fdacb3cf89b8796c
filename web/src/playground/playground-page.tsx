import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, getJson, postJson } from '../api/request.js';
import type { ModelFacts, ModelPair, ScoreAnswer } from '../api/types.js';
import { brief, bytes, count } from '../common/format.js';
import { explain, Problem } from '../common/notice.js';
import { usePolled } from '../common/polled.js';
import type { MethodName } from './keep.js';
import { Result } from './result.js';
import { SAMPLES } from './samples.js';

const LONGEST = 64 * 1024;
const KEY = 'tokensieve-text';
const encoder = new TextEncoder();

const wordsOf = (facts: ModelFacts | null): string =>
  facts === null ? 'none' : `${facts.name} (${facts.architecture}, ${brief(facts.parameters)} parameters)`;

const methodsOf = (pair: ModelPair | undefined): readonly MethodName[] => [
  ...(pair === undefined || (pair.reference !== null && pair.current !== null) ? (['slm'] as const) : []),
  ...(pair === undefined || pair.reference !== null ? (['reference-loss'] as const) : []),
];

interface Scored {
  readonly text: string;
  readonly answer: ScoreAnswer;
}

/** Seconds until a busy service may be asked again, counting down. */
function useCountdown(until: number | null): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    setNow(Date.now());
    if (until === null) return;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [until]);
  return until === null ? 0 : Math.max(0, Math.ceil((until - now) / 1000));
}

export function PlaygroundPage(): JSX.Element {
  const models = usePolled<{ readonly models: readonly ModelPair[] }>(
    'models',
    (signal) => getJson('/v1/models', signal),
    (data) => (data === null ? 5000 : null),
  );
  const [text, setText] = useState(() => sessionStorage.getItem(KEY) ?? SAMPLES[0]?.text ?? '');
  const [chosen, setChosen] = useState<string | null>(null);
  const [scored, setScored] = useState<Scored | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<{ readonly message: string; readonly until: number | null } | null>(
    null,
  );
  const asking = useRef<AbortController | null>(null);
  useEffect(() => () => asking.current?.abort(), []);
  const wait = useCountdown(problem?.until ?? null);

  const pairs = models.data?.models ?? [];
  const pair = pairs.find(({ name }) => name === chosen) ?? pairs[0];
  const size = encoder.encode(text).length;
  const change = (next: string): void => {
    setText(next);
    sessionStorage.setItem(KEY, next);
  };

  const score = async (event: Event): Promise<void> => {
    event.preventDefault();
    asking.current?.abort();
    const stop = new AbortController();
    asking.current = stop;
    setBusy(true);
    setProblem(null);
    try {
      const body = { ...(pair === undefined ? {} : { model: pair.name }), texts: [text] };
      setScored({ text, answer: await postJson<ScoreAnswer>('/v1/score', body, stop.signal) });
    } catch (error) {
      if (stop.signal.aborted) return;
      const until =
        error instanceof ApiError && error.retryAfter !== null ? Date.now() + error.retryAfter * 1000 : null;
      setProblem({ message: until === null ? explain(error as Error) : 'The service is busy.', until });
    }
    if (asking.current === stop) setBusy(false);
  };
  const result = scored?.answer.results[0];

  return (
    <>
      <h1>Playground</h1>
      {models.error !== null && <Problem>{explain(models.error)}</Problem>}
      {models.data !== null && pairs.length === 0 ? (
        <NoModels />
      ) : (
        <form class="paste" onSubmit={(event) => void score(event)}>
          <div class="label-row">
            <label for="text">Text</label>
            <p class="samples">
              <span class="note">Try: </span>
              {SAMPLES.map((sample) => (
                <button key={sample.title} type="button" class="quiet" onClick={() => change(sample.text)}>
                  {sample.title}
                </button>
              ))}
            </p>
          </div>
          <textarea
            id="text"
            rows={8}
            value={text}
            required
            spellcheck={false}
            aria-invalid={size > LONGEST}
            aria-describedby="text-size"
            onInput={(event) => change(event.currentTarget.value)}
          />
          <p id="text-size" class="note">
            {bytes(size)}
            {size > LONGEST && `: more than the ${bytes(LONGEST)} that can be scored at once`}
          </p>
          <p class="field">
            <label for="pair">Models</label>
            <select
              id="pair"
              value={pair?.name ?? ''}
              disabled={pairs.length < 2}
              onChange={(event) => setChosen(event.currentTarget.value)}
            >
              {pairs.map(({ name }) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </p>
          {pair !== undefined && (
            <ul class="pair note">
              <li>Reference: {wordsOf(pair.reference)}</li>
              <li>Current: {wordsOf(pair.current)}</li>
              <li>Rows of {count(pair.max_tokens)} tokens</li>
            </ul>
          )}
          <div class="buttons">
            <button
              type="submit"
              class="primary"
              disabled={busy || text === '' || size > LONGEST || models.data === null}
            >
              {busy ? 'Scoring…' : 'Score'}
            </button>
            {scored !== null && scored.text !== text && !busy && (
              <span class="note">The text has changed since it was scored.</span>
            )}
          </div>
          {problem !== null && (
            <Problem>
              {problem.message}
              {problem.until !== null && (wait > 0 ? ` Try again in ${wait} s.` : ' You can try again now.')}
            </Problem>
          )}
        </form>
      )}
      {scored !== null && result !== undefined && (
        <Result
          text={scored.text}
          scored={result}
          timing={scored.answer.timing}
          methods={methodsOf(pairs.find(({ name }) => name === scored.answer.model))}
        />
      )}
    </>
  );
}

const NoModels = (): JSX.Element => (
  <section class="newcomer" aria-labelledby="no-models">
    <h2 id="no-models">No models to score with</h2>
    <p>Start the service with a pair of models:</p>
    <pre class="code">tokensieve serve --models NAME=REFERENCE,CURRENT</pre>
    <p>Both are folders with a checkpoint; they must have one tokenizer.</p>
  </section>
);
