import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { TokensieveError } from '#tokensieve/errors.js';
import type { ControlTokens } from '#tokensieve/tokenizer/control-tokens.js';
import { type OpenedTokenizer, openTokenizer } from '#tokensieve/tokenizer/open.js';
import { makePortableEncoder } from '#tokensieve/tokenizer/portable-encoder.js';
import { recipeOf } from '#tokensieve/tokenizer/recipe.js';
import { watched } from '#tokensieve/tokenizer/unspellable.js';
import { fixtures, preparedFrom, writeFolder } from './support.js';

/** Golden of fixtures/tokenizers/differential.py: what transformers makes of small folders. */
interface Golden {
  readonly versions: Readonly<Record<string, string>>;
  readonly texts: readonly string[];
  readonly spelled: readonly string[];
  readonly kinds: Readonly<Record<string, unknown>>;
  readonly outcomes: readonly (Outcome | { readonly error: string })[];
  readonly cases: readonly {
    readonly name: string;
    readonly kind: string;
    readonly files: Readonly<Record<string, unknown>>;
    readonly outcome: number;
  }[];
}
interface Outcome {
  readonly tokenizer: string;
  /** Of the texts, then of those that spell out control tokens. */
  readonly ids: readonly (readonly number[])[];
  readonly bos: number | null;
  readonly eos: number | null;
}

const golden: Golden = JSON.parse(
  gunzipSync(readFileSync(join(fixtures, 'differential.json.gz'))).toString('utf8'),
);

/** A text's ids; null for one that is set aside. */
type Ids = readonly (readonly number[] | null)[];

async function nativeIds(
  path: string,
  texts: readonly string[],
  controlTokens: ControlTokens = 'text',
): Promise<{ readonly tokenizer: OpenedTokenizer; readonly ids: Ids }> {
  const tokenizer = await openTokenizer({ path, engine: 'native', controlTokens });
  const encodings = await tokenizer.encode(texts);
  return { tokenizer, ids: encodings.map((one) => (one.unspellable === undefined ? [...one.ids] : null)) };
}

/** The portable engine without its threads; null where it refuses. */
async function portableIds(path: string, texts: readonly string[]): Promise<Ids | null> {
  const { definition, why } = watched(await preparedFrom(path));
  const found = recipeOf(definition);
  if (!('recipe' in found) || definition.model.type !== 'BPE') return null;
  const encode = makePortableEncoder({ model: definition.model, recipe: found.recipe });
  return texts.map((text) => {
    const ids = encode(text);
    return why(text, ids) === null ? [...ids] : null;
  });
}

const counts = { equal: 0, refused: 0, portable: 0, portableRefused: 0, bothRefuse: 0 };
const refusals = new Map<string, number>();

describe(`as transformers ${golden.versions['transformers']} loads a folder`, () => {
  for (const kind of Object.keys(golden.kinds)) {
    it(`${kind}`, async () => {
      const wrong: string[] = [];
      for (const { name, files, outcome } of golden.cases.filter((one) => one.kind === kind)) {
        const expected = golden.outcomes[outcome];
        const path = writeFolder({ 'tokenizer.json': golden.kinds[kind], ...files });
        const said = await compare(path, expected as Outcome, {
          loads: 'ids' in (expected ?? {}),
          splits: JSON.stringify(files).includes('"split_special_tokens":true'),
        });
        if (said !== null) wrong.push(`${name}: ${said}`);
        rmSync(path, { recursive: true });
      }
      expect(wrong).toEqual([]);
    });
  }

  it('in numbers', () => {
    console.log(`${golden.cases.length} cases:`, counts, Object.fromEntries(refusals));
    expect(counts.equal).toBeGreaterThan(0.9 * golden.cases.length);
    expect(counts.refused).toBeLessThan(0.02 * golden.cases.length);
    expect(counts.portable).toBeGreaterThan(0.5 * golden.cases.length);
  });
});

/** What is wrong, or null. */
async function compare(
  path: string,
  expected: Outcome,
  { loads, splits }: { readonly loads: boolean; readonly splits: boolean },
): Promise<string | null> {
  const plain = golden.texts.length;
  try {
    const native = await nativeIds(path, golden.texts);
    if (!loads) return null;
    const { bosId, eosId, description } = native.tokenizer;
    if (bosId !== expected.bos) return `BOS ${bosId}, expected ${expected.bos}`;
    if (eosId !== expected.eos) return `EOS ${eosId}, expected ${expected.eos}`;
    if (description.class !== expected.tokenizer) return `${description.class}, not ${expected.tokenizer}`;
    const wanted = expected.ids.slice(0, plain);
    const at = native.ids.findIndex((ids, i) => ids !== null && `${ids}` !== `${wanted[i]}`);
    if (at >= 0) return `text ${at}: ${native.ids[at]}, expected ${wanted[at]}`;
    if (native.ids.includes(null)) return `set aside: ${native.ids.map((ids) => ids === null)}`;
    counts.equal++;
    const portable = await portableIds(path, golden.texts);
    if (portable === null) counts.portableRefused++;
    else if (`${portable}` !== `${native.ids}`) return `the portable engine: ${portable}`;
    else counts.portable++;
    // "split_special_tokens" makes text of them, as we do unless asked otherwise.
    const special = await nativeIds(path, golden.spelled, splits ? 'text' : 'special');
    if (JSON.stringify(special.ids) !== JSON.stringify(expected.ids.slice(plain)))
      return `spelled out: ${JSON.stringify(special.ids)}, expected ${JSON.stringify(expected.ids.slice(plain))}`;
    return null;
  } catch (error) {
    if (!(error instanceof TokensieveError)) throw error;
    if (!loads) {
      counts.bothRefuse++;
      return null;
    }
    // A class of bytes over pieces that are no bytes, or of merges over none: text would vanish, or fall into letters.
    if (!/parts of a text would vanish|without any merge/.test(error.message)) return error.message;
    counts.refused++;
    const why = error.message.slice(error.message.indexOf(': ') + 2).slice(0, 70);
    refusals.set(why, (refusals.get(why) ?? 0) + 1);
    return null;
  }
}
