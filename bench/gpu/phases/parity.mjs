/**
 * Losses of the product, in one precision (a process has one answer to TF32), against losses in fp32 of the same weights and ids from
 * elsewhere: PyTorch, or a file. Both models are compared; excess losses of the pair tell how many tokens change sides
 * at keep 0.6.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomIds } from '../../support/measure.mjs';
import { openModels, prepare } from '../ours.mjs';
import { openRival } from '../rival.mjs';

const KEEP = 0.6;

/** The ids that losses are compared over, [rows · length] int32. */
export const parityIds = (rows, length, vocabulary) => randomIds(rows * length, vocabulary, 7);

export async function parity(job, { emit, checkpoints, faulty }) {
  const folders = await checkpoints(job.size);
  const { rows, length } = job.parity;
  const ids = parityIds(rows, length, job.shape.vocab_size);
  const theirs = await lossesElsewhere(job, folders, ids);
  // `--perturb`: the product is given a checkpoint with a fault, and the figures must show it.
  const ourFolders = job.perturb ? { ...folders, current: await faulty(job.size) } : folders;
  const ours = {};
  for (const role of ['reference', 'current']) ours[role] = await lossesHere(ourFolders[role], ids, job);
  emit({ precision: job.precision, rows, length, ...compareLosses(ours, theirs) });
}

/** Of each model, float32 [rows · (length − 1)]: from files, or from PyTorch, which then leaves such files. */
async function lossesElsewhere(
  { losses, work, size, python, device, parity: { rows, length } },
  folders,
  ids,
) {
  const out = losses ?? join(work, `losses-${size}`);
  const files = Object.keys(folders).map((role) => [role, join(out, `${role}.bin`)]);
  if (!files.every(([, file]) => existsSync(file))) {
    if (!python)
      throw new Error('no losses to compare with: --python with torch and transformers, or --losses FOLDER');
    mkdirSync(out, { recursive: true });
    const idsFile = join(out, 'ids.bin');
    writeFileSync(idsFile, new Uint8Array(ids.buffer));
    const rival = await openRival(python, device === 'cuda' ? device : 'cpu');
    for (const [role, file] of files) {
      const question = { do: 'losses', folder: folders[role], ids: idsFile, length, rows: Math.min(2, rows) };
      await rival.ask({ ...question, out: file });
    }
    await rival.close();
  }
  return Object.fromEntries(files.map(([role, file]) => [role, floatsOf(file)]));
}

const floatsOf = (file) => new Float32Array(Uint8Array.from(readFileSync(file)).buffer);

async function lossesHere(folder, ids, { device, precision, parity: { rows, length }, cache, headProduct }) {
  const perCall = Math.min(rows, 4);
  const model = await prepare(folder, { device, precision, rows: perCall, length, cache, headProduct });
  const opened = await openModels([model], device, precision);
  try {
    const losses = new Float32Array(rows * (length - 1));
    for (let row = 0; row < rows; row += perCall) {
      const part = ids.slice(row * length, (row + perCall) * length);
      const { loss } = await opened.sessions[0].score({ rows: perCall, length, ids: part, sequences: [] });
      losses.set(loss, row * (length - 1));
    }
    return losses;
  } finally {
    await opened.close();
  }
}

/**
 * @param {Record<'reference' | 'current', Float32Array>} ours @param {Record<'reference' | 'current', Float32Array>} theirs
 */
export function compareLosses(ours, theirs) {
  const tokens = theirs.reference.length;
  const roles = ['reference', 'current'];
  for (const role of roles) {
    if (ours[role].length !== tokens || theirs[role].length !== tokens)
      throw new Error(
        `${role}: ${ours[role].length} losses here, ${theirs[role].length} there, for ${tokens} tokens`,
      );
  }
  const differences = Float64Array.from({ length: 2 * tokens }, (_, i) => {
    const role = roles[i % 2];
    return Math.abs(ours[role][i >> 1] - theirs[role][i >> 1]);
  }).sort();
  const excess = ({ reference, current }) => Float64Array.from(current, (loss, i) => loss - reference[i]);
  const [here, there] = [keptOf(excess(ours)), keptOf(excess(theirs))];
  const all = excess(theirs);
  const mean = all.reduce((a, b) => a + b, 0) / tokens;
  return {
    tokens,
    mean: differences.reduce((a, b) => a + b, 0) / differences.length,
    p999: differences[Math.min(differences.length - 1, Math.floor(0.999 * differences.length))],
    max: differences.at(-1),
    /** Not one loss may be missing: NaN would sort to the end and hide. */
    not_finite: differences.filter((difference) => !Number.isFinite(difference)).length,
    flips: here.reduce((sum, kept, i) => sum + (kept === there[i] ? 0 : 1), 0) / tokens,
    mean_loss: theirs.current.reduce((a, b) => a + b, 0) / tokens,
    excess_deviation: Math.sqrt(all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / tokens),
  };
}

/** 1 for the tokens of highest excess, `KEEP` of them. */
function keptOf(excess) {
  const order = Uint32Array.from(excess, (_, i) => i).sort((a, b) => excess[b] - excess[a] || a - b);
  const kept = new Uint8Array(excess.length);
  for (const i of order.subarray(0, Math.floor(KEEP * excess.length))) kept[i] = 1;
  return kept;
}
