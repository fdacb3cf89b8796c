import { z } from 'zod';
import { findingSchema } from '../../select/diagnosis/finding.js';
import { METHODS } from '../../select/methods.js';
import { selectionSettings } from '../../select/settings.js';
import { MAX_TEXT_BYTES, MAX_TEXTS } from './settings.js';

/** Bodies of the scoring routes: types, validation and OpenAPI come from here. */

/** Settings of a method of the user's own are code or need files: not from a request. */
const { method, keep, rounding, seed, score, threshold, band, alpha, temperature, probability, unit } =
  selectionSettings.shape;
/** Settings carry their command-line flag along, which is no part of the API. */
const plain = <T extends z.ZodType>(schema: T): T => {
  const description = schema.meta()?.description;
  return schema.meta({ flag: undefined, ...(description !== undefined && { description }) });
};

const builtIn = METHODS.map(({ name }) => name).filter((name) => name !== 'domain-weights');

export const scoreSelection = z
  .strictObject({
    method: z
      .enum(builtIn as [string, ...string[]])
      .default('slm')
      .meta({ description: method.meta()?.description?.split(':', 1)[0] ?? '' }),
    keep: plain(keep),
    scope: z.enum(['text', 'request', 'sequence']).default('text').meta({
      description:
        'What is ranked against what: the tokens of one text, of all texts of the request, or of one row of max_tokens.',
    }),
    rounding: plain(rounding),
    seed: plain(seed),
    score: plain(score),
    threshold: plain(threshold),
    band: plain(band),
    alpha: plain(alpha),
    temperature: plain(temperature),
    probability: plain(probability),
    unit: plain(unit),
    allow_constant: z.boolean().default(false).meta({
      description: 'Give weights even where every score is equal.',
    }),
  })
  .meta({ description: 'Weights by a selection method of docs/methods.md.' });

export const scoreRequest = z.strictObject({
  model: z.string().max(64).optional().meta({ description: 'Name of a model pair; default: the first' }),
  texts: z
    .array(z.string())
    .min(1)
    .max(MAX_TEXTS)
    .meta({ description: `Texts, each of at most ${MAX_TEXT_BYTES} bytes of UTF-8; each is a document.` }),
  select: scoreSelection.optional().meta({ description: 'Without it, no weights are given.' }),
});

const losses = (what: string) =>
  z.array(z.number().nullable()).meta({ description: `${what}; null where the token has none.` });

const scoredText = z.object({
  tokens: z
    .object({
      id: z.array(z.int()).meta({ description: 'Token ids, BOS and EOS included.' }),
      start: z.array(z.int()).meta({
        description:
          'UTF-16 offset of the token’s first character. Ranges are in order and never overlap; a character whose bytes several tokens share belongs to the last of them. Empty for BOS, EOS and tokens that own no character.',
      }),
      end: z.array(z.int()).meta({ description: 'UTF-16 offset behind the token’s last character.' }),
      reference_loss: losses('Loss under the reference model, nats'),
      current_loss: losses('Loss under the current model, nats'),
      excess: losses('Current loss minus reference loss, in fp32'),
      weight: z
        .array(z.number())
        .nullable()
        .meta({ description: 'Weights of the selection, 0 where a token has no loss; null without one.' }),
    })
    .meta({ description: 'One entry a token in every list.' }),
  eligible: z.int().meta({ description: 'Tokens that have a loss.' }),
  truncated: z.boolean().meta({
    description:
      'The text is longer than max_tokens: it was scored in rows, and tokens see no further back than their row.',
  }),
  max_tokens: z.int().meta({ description: 'Longest row of the pair.' }),
});

export const scoreResponse = z.object({
  model: z.string(),
  results: z.array(scoredText).meta({ description: 'One a text, in the order of the request.' }),
  diagnosis: z
    .object({
      tokens: z.int().meta({ description: 'Tokens of all texts that have both losses.' }),
      enough: z.boolean().meta({ description: 'False: so few tokens that nothing is said of them.' }),
      findings: z.array(findingSchema).meta({
        description:
          'What the texts’ figures say against the selection, or without one against selecting by excess; gravest first.',
      }),
    })
    .nullable()
    .meta({ description: 'Of all texts together; null where the pair has one model.' }),
  timing: z.object({
    queue_ms: z.number().meta({ description: 'Arrival to the first model call, tokenizing included.' }),
    score_ms: z.number().meta({ description: 'First model call to the last loss.' }),
  }),
});

const modelFacts = z.object({
  name: z.string(),
  architecture: z.string(),
  parameters: z.int(),
  hash: z.string().meta({ description: 'sha256 over the files that define the model' }),
});

export const modelsResponse = z.object({
  models: z
    .array(
      z.object({
        name: z.string(),
        reference: modelFacts.nullable(),
        current: modelFacts.nullable(),
        max_tokens: z.int(),
      }),
    )
    .meta({ description: 'Model pairs; the first is the default.' }),
});

export type ScoreSelection = Readonly<z.output<typeof scoreSelection>>;
/** A request as it may be written: defaults are filled in. */
export type ScoreRequest = z.input<typeof scoreRequest>;
export type ScoreResponse = z.output<typeof scoreResponse>;
export type ScoredText = z.output<typeof scoredText>;
export type ModelFacts = z.output<typeof modelFacts>;
export type PairFacts = z.output<typeof modelsResponse>['models'][number];
