/**
 * A text with what URLs in it may hold of secrets taken out: user and password, and the query, which is where
 * signatures are.
 */
export const redacted = (text: string): string =>
  text.replace(
    /\b([a-z][a-z0-9+.-]*:\/\/)([^\s/?#@'"<>]*@)?([^\s?'"<>]*)(\?[^\s'"<>]*)?/gi,
    (_, start: string, user: string | undefined, rest: string, query: string | undefined) =>
      `${start}${user === undefined ? '' : '…@'}${rest}${query === undefined ? '' : '?…'}`,
  );
