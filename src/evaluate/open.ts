import { chooseDevice } from '../device/device.js';
import type { NumericProfile } from '../device/numeric-profile.js';
import type { Device, ModelInfo } from '../model/prepared-model.js';
import { packingRules } from '../pack/text-rows.js';
import { DEFAULT_LENGTH } from '../score/open-inputs.js';
import { openModels } from '../score/open-models.js';
import type { Scorer } from '../score/scorer.js';
import type { ScoringRules } from '../score/stage.js';
import type { PackingRules } from '../sequence/packing.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { EvaluateSettings } from './settings.js';

/** A model ready to be asked, with the rules that rows of text and rows of tasks share. */
export interface Examinee {
  readonly info: ModelInfo;
  readonly device: Device;
  readonly deviceWhy: string;
  /** What the log says of the model, one line each. */
  readonly warnings: readonly string[];
  readonly profile: NumericProfile;
  readonly tokenizer: Tokenizer;
  readonly scorer: Scorer;
  /** The model stands in the place of the current one. */
  readonly scoring: ScoringRules;
  readonly packing: PackingRules;
  /**
   * Looks at the model's files again: to be asked before anything that it said is written.
   * @throws TokensieveError (fatal) `model-changed`
   */
  look(): Promise<void>;
  close(): Promise<void>;
}

export interface ExamineeOptions {
  /** Whether each target's being the likeliest token is asked for. */
  readonly greedy?: boolean;
  /** Rows take one id more than the model is to read: the last is a target only, as lm-evaluation-harness counts. */
  readonly lastIsUnread?: boolean;
}

/**
 * Opens the model and its tokenizer, checked against each other as for scoring.
 * @throws TokensieveError as `openModels` and `openScorer` do
 */
export async function openExaminee(
  settings: Pick<EvaluateSettings, 'model' | 'tokenizer' | 'sequence' | 'score' | 'run'>,
  { greedy = false, lastIsUnread = false }: ExamineeOptions = {},
): Promise<Examinee> {
  const { sequence, score, run } = settings;
  const { device, why } = chooseDevice(score.device);
  const opened = await openModels(
    {
      current: settings.model,
      tokenizer: settings.tokenizer,
      sequence,
      score: { ...score, entropy: false, greedy },
      run,
    },
    device,
  );
  const { tokenizer, models, compute, warnings } = opened;
  try {
    const model = models.current;
    if (model === undefined) throw new Error('the model that was asked for was not opened');
    const read = sequence.length ?? Math.min(DEFAULT_LENGTH, model.info.maxPositions ?? DEFAULT_LENGTH);
    const length = lastIsUnread && takesOneMore(model.info, read) ? read + 1 : read;
    const scorer = await opened.openScorer({ threads: run.threads });
    return {
      info: model.info,
      device,
      deviceWhy: why,
      warnings,
      profile: compute.profile,
      tokenizer,
      scorer,
      scoring: {
        // Rows of tasks and documents are of mixed lengths; packed rows need no sorting, and lose nothing by it.
        ...opened.batchRules({ length, attention: sequence.attention }),
        roles: ['current'],
        entropy: false,
      },
      packing: packingRules({ ...sequence, length }, tokenizer),
      look: opened.look,
      close: async () => {
        await Promise.all([scorer.close(), opened.close()]);
      },
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/**
 * Whether a row may have an id beyond the positions that the model has. It is read, and nothing is asked of what comes of it: rotary
 * positions go on, a table of learned ones ends.
 */
const takesOneMore = ({ maxPositions, longestRow, shape }: ModelInfo, length: number): boolean =>
  maxPositions === null || length < maxPositions || (shape?.rope != null && longestRow == null);
