import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { findBoundaries } from '#tokensieve/tokenizer/boundaries.js';
import { type ControlTokens, type Prepared, prepare } from '#tokensieve/tokenizer/control-tokens.js';
import { loadBinding, type NativeEngine, openNative } from '#tokensieve/tokenizer/native.js';
import { readLoaded } from '#tokensieve/tokenizer/open.js';
import { sharedData } from '../support/report-skips.js';

export const fixtures = fileURLToPath(new URL('../../fixtures/tokenizers/', import.meta.url));
export const byteLevel = join(fixtures, 'byte-level.json');
export const byteFallback = join(fixtures, 'byte-fallback.json');

/** A tokenizer.json read as JSON, to be changed and written again. */
// biome-ignore lint/suspicious/noExplicitAny: tests take the file apart at will
export const readJson = (path: string): any => JSON.parse(readFileSync(path, 'utf8'));

/** Writes a folder of JSON files and gives its path. */
export function writeFolder(files: Readonly<Record<string, unknown>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'tokensieve-tokenizer-'));
  for (const [name, json] of Object.entries(files)) {
    writeFileSync(join(folder, name), typeof json === 'string' ? json : JSON.stringify(json));
  }
  return folder;
}

export async function preparedFrom(path: string, controlTokens: ControlTokens = 'text'): Promise<Prepared> {
  const { loaded, companions } = await readLoaded(path);
  const boundaries = findBoundaries(loaded.definition, companions, loaded.class, {});
  return prepare(loaded.definition, boundaries, controlTokens);
}

/** The native library itself, with the offsets it gives. */
export async function nativeFor(prepared: Prepared): Promise<NativeEngine> {
  const loaded = await loadBinding();
  if (!('binding' in loaded)) throw new Error(loaded.reason);
  return openNative(loaded.binding, prepared.definition);
}

/** Every sound tokenizer of the shared data once, by its path below it; but Whisper's, which no language model is read with. */
export function sharedTokenizers(): readonly string[] {
  const seen = new Set<string>();
  return readdirSync(sharedData, { recursive: true, encoding: 'utf8' })
    .filter(
      (path) =>
        /(^|\/)tokenizer(\.from-[^/]*)?\.json$/.test(path) &&
        !path.includes('damaged') &&
        !path.includes('whisper'),
    )
    .sort()
    .filter((path) => {
      const text = readFileSync(join(sharedData, path), 'utf8');
      return !seen.has(text) && seen.add(text);
    });
}

/** What trips tokenizers up. */
export const NASTY_TEXTS: readonly string[] = [
  '',
  'a',
  ' ',
  '\ufeff',
  '\ufeffhi \ufeff there\ufeff',
  'a\u00a0b\u00a0\u00a0c\u00a0',
  'line\u2028separator\u2029paragraph\u0085next',
  'lone\rcarriage\r\rreturns\r\nand more\n\r',
  '👨‍👩‍👧‍👦 family 🏳️‍🌈 👍🏽 e\u20dd',
  'e\u0301 cafe\u0323\u0301x \u1100\u1161\u11a8 \u{1d15e} \u00c5\u212b \u0344 ﬁ Ⅸ',
  '\u0301begins with a mark, and zalgo z\u0335\u0321\u0316\u0301\u034f\u0345 end',
  `${' '.repeat(1000)}x${'\t'.repeat(300)}y${'\n'.repeat(200)}`,
  '\n\n\n  \n \t \n',
  `${'0123456789'.repeat(50)} 1,000,000.00 ½ ² ٣٤ ① Ⅻ 万`,
  '\u{10ffff}\u{1f600}\u{2b740}\u{1d4ae}𝔸𝕏',
  '▁lower ▁▁ block ▁',
  '<s></s><|endoftext|><unk><pad><|end|><0x0A><|im_start|>',
  '|||EMAIL_ADDRESS||| x|||EMAIL_ADDRESS|||  |||IP_ADDRESS|||',
  '<|0.00|>a<|30.00|> <|29.98|>',
  "'S 'ſ don't DON'T we'LL I'm 'Ve",
  'a\u0000b\u0001\u007f',
  '\u088f\u0c5c\ua7ce\u{10940}\u{16ea0}\u{323b0}x \u{11de0}\u{11de9}',
  '\u0d3b\u0334\u0301e\u0301 \u{1e08f}\u0323 \u1acf\u0301',
  '日本語テキスト 한국어 क्षि العربية עִבְרִית ไทย',
  `\\begin{align}\n  \\sum_{i=0}^{\\infty} x_i &= \\frac{1}{2} \\\\\n\\end{align}`,
  'x'.repeat(3000),
  'ab'.repeat(700),
  '=-'.repeat(400),
  '\ud800 half a pair \udc00',
];

const gzippedTexts = (path: string): string[] =>
  gunzipSync(readFileSync(path))
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).text);

/**
 * About 1 M characters of the shared corpora: the beginning of every source, and whatever documents of the noisy
 * ones spell out a control token.
 */
export function corpusSample(): readonly string[] {
  const texts: string[] = [];
  for (const folder of ['corpora/noisy', 'corpora/clean']) {
    for (const name of readdirSync(join(sharedData, folder)).filter((file) => file.endsWith('.jsonl.gz'))) {
      let room = 70_000;
      for (const text of gzippedTexts(join(sharedData, folder, name))) {
        const spelled = text.search(/<\/?s>|<\|endoftext\|>|<unk>|<pad>/);
        const start = spelled < 0 ? 0 : Math.max(0, spelled - 500);
        if (room <= 0 && spelled < 0) continue;
        const part = text.slice(start, start + 12_000);
        texts.push(part);
        room -= part.length;
      }
    }
  }
  for (const task of ['gsm8k', 'mathqa', 'mmlu_stem']) {
    texts.push(readFileSync(join(sharedData, 'eval', task, 'test.jsonl'), 'utf8').slice(0, 60_000));
  }
  return texts;
}
