/** URLs by their parts: user and password, place, query, fragment. A password may hold an @ that nobody encoded. */
const URLS = /\b([a-z][a-z0-9+.-]*:\/\/)([^\s/?#'"<>]*@)?([^\s?#'"<>]*)(\?[^\s#'"<>]*)?(#[^\s'"<>]*)?/gi;

/** What hints write in place of a user and a password. */
const PLACEHOLDER = '[user:password@';

/** Names of parameters that are, or sign, a secret: of AWS, Google, Azure, and what others call theirs. */
const SECRET =
  /[?&;#][^=&;]*(?:token|sig|secret|key|pass|pwd|auth|cred|policy|jwt|session|code|x-amz-|x-goog-)[^=&;]*=/i;

const without = (text: string, isSecret: (part: string) => boolean): string =>
  text.replace(
    URLS,
    (_, start: string, user = '', rest: string, query = '', fragment = '') =>
      `${start}${user === '' || user === PLACEHOLDER ? user : '…@'}${rest}${isSecret(query) ? '?…' : query}${isSecret(fragment) ? '#…' : fragment}`,
  );

/**
 * A text with what URLs in it may hold of secrets taken out: user and password, and the query, which is where
 * signatures are. For messages, and for whatever names a place.
 */
export const redacted = (text: string): string =>
  without(text, (part) => part.startsWith('?') || SECRET.test(part));

/**
 * The same for texts that hold URLs of documents too, whose queries are data: users and passwords, and queries with a
 * parameter that is a secret by its name.
 */
export const withoutSecrets = (text: string): string => without(text, (part) => SECRET.test(part));
