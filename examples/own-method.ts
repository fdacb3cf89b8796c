/**
 * A selection method of one's own. `tokensieve select RUN --method examples/build/own-method.js` loads the default export;
 * run by itself it shows what the method would keep of a scored run, and writes nothing:
 *
 *   node examples/build/own-method.js RUN
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  createSelection,
  localStorage,
  type Method,
  type PartSource,
  readSequences,
  type ScoreKernel,
  scoredFolder,
  selectionSettings,
} from 'tokensieve';

/**
 * Excess loss in units of the current loss: the share of a token's loss that the reference does without. A token that is hard
 * for both models counts as little as one that is easy for both. Eligible tokens have both losses; elsewhere the score is ignored.
 */
const relativeExcess: ScoreKernel = ({ columns: { reference_loss, current_loss } }, out) => {
  for (let i = 0; i < out.length; i++) {
    const own = current_loss?.[i] ?? Number.NaN;
    out[i] = (own - (reference_loss?.[i] ?? Number.NaN)) / (own + 0.1);
  }
};

const method: Method = {
  name: 'relative-excess',
  version: 1,
  summary: 'Keep the k with the largest excess loss relative to the current loss.',
  source: 'an example',
  plan: ({ keep }) => ({
    unit: 'token',
    columns: ['current_loss', 'reference_loss'],
    score: '(current_loss - reference_loss) / (current_loss + 0.1)',
    normaliser: 'weights',
    usesKeep: true,
    usesSeed: false,
    signals: [relativeExcess],
    rankings: [
      {
        score: relativeExcess,
        bounds: (eligible) => [0, eligible === 0 ? 0 : Math.max(1, Math.floor(keep * eligible))],
      },
    ],
    weigh: (_tokens, [ranked], out) => out.set(ranked?.kept ?? []),
  }),
};

export default method;

/** The scored files of a run as the parts that a selection reads. */
async function partsOf(run: string): Promise<PartSource[]> {
  const storage = localStorage();
  const folder = scoredFolder(run);
  const paths = await storage.list(folder);
  return paths.flatMap((path): PartSource[] => {
    const [, shard, part] = /^(.+)\/(\d+)\.arrow$/.exec(path.slice(folder.length + 1)) ?? [];
    if (shard === undefined) return [];
    const batches = async function* () {
      yield* (await readSequences(storage, path)).batches();
    };
    return [{ shard, part: Number(part), batches }];
  });
}

async function show(run: string): Promise<void> {
  const parts = await partsOf(run);
  const settings = selectionSettings.parse({ method: 'slm', keep: 0.6, scope: 'dataset' });
  const [ours, theirs] = [createSelection(settings, method), createSelection(settings)];
  const prepared = { ours: await ours.prepare(parts), theirs: await theirs.prepare(parts) };
  for (const part of parts) {
    const slm: number[] = [];
    for await (const { weights } of theirs.weigh(part, prepared.theirs).batches) slm.push(...weights);
    let [kept, both, at] = [0, 0, 0];
    for await (const { weights } of ours.weigh(part, prepared.ours).batches) {
      for (const weight of weights) {
        if (weight > 0) kept++;
        if (weight > 0 && (slm[at] ?? 0) > 0) both++;
        at++;
      }
    }
    console.log(`${part.shard} part ${part.part}: ${kept} tokens kept, ${both} of them by slm too`);
  }
}

const [script = '', run] = process.argv.slice(1);
if (realpathSync(script) === fileURLToPath(import.meta.url)) {
  if (run === undefined) {
    console.error('own-method RUN');
    process.exit(2);
  }
  await show(run);
}
