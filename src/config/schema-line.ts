import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const SCHEMA = fileURLToPath(new URL('../../schemas/pipeline.json', import.meta.url));

/** The comment by which an editor knows the settings of a pipeline file: the schema beside this program, seen from `file`. */
export function schemaLine(file: string): string {
  const from = dirname(resolve(file));
  const path = relative(from, SCHEMA).split(sep).join('/');
  // Far up and down again is no clearer than where it lies.
  return `# yaml-language-server: $schema=${path.startsWith('../../../') ? SCHEMA : path}`;
}
