import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { withTables } from '../../scripts/model-fields.mjs';

it('docs/models.md has the tables that the code has (node scripts/model-fields.mjs --write)', () => {
  const text = readFileSync(fileURLToPath(new URL('../../docs/models.md', import.meta.url)), 'utf8');
  expect(text).toBe(withTables(text));
});
