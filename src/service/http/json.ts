/** JSON bodies, counted before they are parsed: what a megabyte of brackets becomes would hold everybody up. */
import { firstLine } from '../../errors.js';
import { parseJson } from '../../json/parse-json.js';
import { utf8Text } from '../../utf8.js';
import { ServiceError } from '../service-error.js';
import type { App } from './app.js';

/** Values and keys of a body: texts to score are at most some thousands, and a pipeline has a few hundred settings. */
const LIMITS = { values: 100_000, depth: 64 };

export function boundJson(app: App): void {
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    const bytes = body as Buffer;
    if (bytes.length === 0) return done(null, undefined);
    try {
      done(null, parseJson(utf8Text(bytes), LIMITS));
    } catch (error) {
      done(new ServiceError(400, 'bad-request', `the body is not JSON: ${firstLine(error)}`));
    }
  });
}
