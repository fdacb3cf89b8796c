import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { EXAMPLE } from '../../web/src/jobs/example.js';

const folder = fileURLToPath(new URL('../../dist/web/', import.meta.url));
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
  statSync(join(folder, name)).isFile(),
);

describe('the built page', () => {
  it('is small: all of it is the first view', () => {
    const sizes = files.map((name) => gzipSync(readFileSync(join(folder, name)), { level: 9 }).length);
    const all = sizes.reduce((sum, size) => sum + size, 0);
    // The bound is 300 KB; what is there is a tenth of it, and should stay so.
    expect(all).toBeLessThan(40_000);
  });

  it('asks nobody else for anything, and has nothing inline that a strict policy refuses', () => {
    const page = readFileSync(join(folder, 'index.html'), 'utf8');
    expect(page).toMatch(/<script type="module"[^>]* src="\.\/assets\/[\w-]+\.js"><\/script>/);
    expect(page).not.toMatch(/<script(?![^>]* src=)|<style|\son\w+=|style=/);
    for (const name of files.filter((file) => /\.(html|css|js)$/.test(file))) {
      const text = readFileSync(join(folder, name), 'utf8');
      // Names of XML spaces are no addresses that anything is fetched from.
      const addresses = (text.match(/https?:\/\/[^\s"'`)]+/g) ?? []).filter(
        (url) => !url.startsWith('http://www.w3.org/'),
      );
      expect(addresses, name).toEqual([]);
      expect(text, name).not.toMatch(/\b(eval|Function)\(|sourceMappingURL/);
    }
  });

  it('offers an example that is a valid pipeline', () => {
    const pipeline = parsePipeline({ ...(parse(EXAMPLE) as object), out: 'out' }, 'the example');
    expect(pipeline.select?.keep).toBe(0.6);
    expect(EXAMPLE.split('\n').filter((line) => line.startsWith('#')).length).toBeGreaterThan(4);
  });
});
