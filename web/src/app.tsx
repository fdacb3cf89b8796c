import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { forgetToken, hasToken, reachable, tokenWanted } from './api/request.js';
import { Icon } from './common/icon.js';
import { useStore } from './common/store.js';
import { TokenDialog } from './common/token-dialog.js';
import { JobPage } from './job/job-page.js';
import { JobsPage } from './jobs/jobs-page.js';
import { PlaygroundPage } from './playground/playground-page.js';
import type { Route } from './route.js';
import { useRoute } from './use-route.js';

const TITLES: Readonly<Record<Route['page'], string>> = {
  jobs: 'Jobs',
  job: 'Job',
  playground: 'Playground',
  unknown: 'No such page',
};

function View({ route }: { readonly route: Route }): JSX.Element {
  if (route.page === 'jobs') return <JobsPage />;
  if (route.page === 'job') return <JobPage key={route.id} id={route.id} />;
  if (route.page === 'playground') return <PlaygroundPage />;
  return (
    <>
      <h1>No such page</h1>
      <p>
        Go to <a href="#/jobs">jobs</a> or to the <a href="#/playground">playground</a>.
      </p>
    </>
  );
}

export function App(): JSX.Element {
  const route = useRoute();
  const online = useStore(reachable);
  const wanted = useStore(tokenWanted);
  const signedIn = useStore(hasToken);
  const main = useRef<HTMLElement>(null);
  const place = route.page === 'job' ? route.id : route.page;
  const before = useRef(place);

  useEffect(() => {
    document.title = `${TITLES[route.page]} · tokensieve`;
    if (before.current === place) return;
    before.current = place;
    // A new view begins at its top, for eyes and for screen readers.
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [place, route.page]);

  const here = (page: Route['page'], others: readonly Route['page'][] = []) =>
    page === route.page || others.includes(route.page) ? { 'aria-current': 'page' as const } : {};
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to content
      </button>
      <header class="top">
        <a class="brand" href="#/jobs">
          tokensieve
        </a>
        <nav aria-label="Views">
          <a href="#/jobs" {...here('jobs', ['job'])}>
            Jobs
          </a>
          <a href="#/playground" {...here('playground')}>
            Playground
          </a>
        </nav>
        {signedIn && (
          <button type="button" class="quiet" onClick={forgetToken}>
            Forget token
          </button>
        )}
      </header>
      <div role="status">
        {!online && (
          <p class="offline">
            <Icon name="warning" /> <span>The service does not answer. Trying again…</span>
          </p>
        )}
      </div>
      <main id="content" ref={main} tabIndex={-1}>
        <View route={route} />
      </main>
      {wanted && <TokenDialog />}
    </>
  );
}
