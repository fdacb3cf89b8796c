/**
 * What the study trains: settings by name, committed before the first result. Tokens are targets; a step is 16 rows of
 * 256 ids. Every arm starts from the base model unless it says otherwise, and reads the same rows in the same order
 * for the same seed.
 */
export const length = 256;
const rows = 16;
/** Of an arm with three seeds, in tokens: what two cores train in an afternoon beside other work. */
const armTokens = 1.2e6;
/**
 * Of an arm that is run once. At a constant rate every point of a curve is a run that could have ended there, so these are
 * compared with the first 0.48M tokens of the pair with seed 3, whose base model, rows and order they share.
 */
const onceTokens = 4.8e5;
const onceSeed = 3;
const steps = (tokens) => Math.ceil(tokens / (rows * (length - 1)));

/** @param {string} out the study's folder */
export function models(out) {
  const common = { batch: { rows }, optimizer: { learning_rate: 1e-3 }, held_out: { every: 123 } };
  return {
    base: {
      ...common,
      model: { config: 'studies/mathweb/config.json', tokenizer: `${out}/tokenizer`, seed: 1 },
      data: { sources: [`${out}/packed/base`], seed: 1 },
      batch: { rows, steps: steps(3e6) },
      schedule: { warmup_steps: 40 },
    },
    reference: {
      ...common,
      model: { start: `${out}/base/model` },
      data: { sources: [`${out}/packed/clean`], seed: 1 },
      batch: { rows, steps: steps(3e6) },
      optimizer: { learning_rate: 5e-4 },
      schedule: { warmup_steps: 40 },
    },
  };
}

/** @param {string} out the study's folder */
export function arms(out) {
  const arm = (loss, { tokens = onceTokens, ...more } = {}) => ({
    model: { start: `${out}/base/model` },
    data: { sources: [`${out}/scored/arms/scored`], seed: onceSeed, ...more.data },
    batch: { rows, steps: steps(tokens) },
    optimizer: { learning_rate: 5e-4 },
    // Constant, so that every point of a curve is a run that could have ended there: a falling rate would make
    // tokens-to-a-loss depend on when the run was to end.
    schedule: { kind: 'constant', warmup_steps: 20 },
    held_out: { every: 59 },
    loss,
    ...(more.model && { model: more.model }),
  });
  const clm = { kind: 'clm' };
  const slm = (keep = 0.6) => ({ kind: 'slm', selection: 'live', keep });
  const frozen = { kind: 'slm', selection: 'frozen' };
  const weighted = (name) => ({ data: { sources: [`${out}/weighted/${name}`] } });
  const mixed = { data: { sources: [`${out}/scored/arms/scored=3`, `${out}/scored/clean/scored=1`] } };
  const fromReference = { model: { start: `${out}/reference/model` } };
  const seeds = (name, loss) =>
    [1, 2, 3].map((seed) => [`${name}-seed-${seed}`, arm(loss, { data: { seed }, tokens: armTokens })]);
  return Object.fromEntries([
    ...[0, 1, 2].flatMap((index) => [seeds('clm', clm)[index], seeds('slm', slm())[index]]),
    ['clm-with-clean', arm(clm, mixed)],
    ['slm-with-clean', arm(slm(), mixed)],
    ['clm-from-reference', arm(clm, fromReference)],
    ['slm-from-reference', arm(slm(), fromReference)],
    ['random', arm(frozen, weighted('random'))],
    ['reference-loss', arm(frozen, weighted('reference-loss'))],
    ['slm-frozen', arm(frozen, weighted('slm'))],
    ['slm-keep-0.4', arm(slm(0.4))],
    ['slm-keep-0.8', arm(slm(0.8))],
  ]);
}
