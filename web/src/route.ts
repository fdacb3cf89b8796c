/** Where the page is, read from the address after #. */
export type Route =
  | { readonly page: 'jobs' }
  | { readonly page: 'job'; readonly id: string }
  | { readonly page: 'playground' }
  | { readonly page: 'unknown' };

export function routeOf(hash: string): Route {
  const path = hash.replace(/^#\/?/, '').replace(/\/$/, '');
  if (path === '' || path === 'jobs') return { page: 'jobs' };
  if (path === 'playground') return { page: 'playground' };
  const job = /^jobs\/([^/]+)$/.exec(path)?.[1];
  if (job === undefined) return { page: 'unknown' };
  try {
    return { page: 'job', id: decodeURIComponent(job) };
  } catch {
    return { page: 'unknown' };
  }
}

export const jobHref = (id: string): string => `#/jobs/${encodeURIComponent(id)}`;
