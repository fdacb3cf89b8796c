import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, giveToken, refuseToken } from '../api/request.js';
import { explain, Problem } from './notice.js';

/** Asks for the service's token; it is kept for this tab's session only. */
export function TokenDialog(): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [trying, setTrying] = useState(false);

  useEffect(() => dialog.current?.showModal(), []);

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setTrying(true);
    try {
      await giveToken(token.trim());
    } catch (error) {
      const refused = error instanceof ApiError && (error.status === 401 || error.status === 403);
      setProblem(refused ? 'The service does not accept this token.' : explain(error as Error));
      field.current?.focus();
    }
    setTrying(false);
  };

  return (
    <dialog ref={dialog} aria-labelledby="token-title" onCancel={refuseToken}>
      <form onSubmit={(event) => void submit(event)}>
        <h2 id="token-title">This service wants a token</h2>
        <p class="note">
          It is the one the service was started with. It stays in this tab until you close it.
        </p>
        <label for="token">Token</label>
        <input
          id="token"
          ref={field}
          type="password"
          autocomplete="off"
          required
          value={token}
          aria-invalid={problem !== null}
          aria-describedby="token-problem"
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        <div id="token-problem">{problem !== null && <Problem>{problem}</Problem>}</div>
        <div class="buttons">
          <button type="button" onClick={refuseToken}>
            Not now
          </button>
          <button type="submit" class="primary" disabled={trying}>
            {trying ? 'Trying…' : 'Use this token'}
          </button>
        </div>
      </form>
    </dialog>
  );
}
