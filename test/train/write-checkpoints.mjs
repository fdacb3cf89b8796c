// Run by checkpoint-kill.test.ts: writes checkpoint after checkpoint until it is killed.
//   node write-checkpoints.mjs OUT TOKENIZER-FILE
import { writeCheckpoint } from '#tokensieve/train/checkpoint.js';
import { latestCheckpoint, pruneCheckpoints, sweepCheckpoints } from '#tokensieve/train/checkpoints.js';
import { publishModel } from '#tokensieve/train/publish-model.js';
import { checkpointAt } from './checkpoint-at.mjs';

const [out = '', tokenizerFile = ''] = process.argv.slice(2);
await sweepCheckpoints(out);
const latest = await latestCheckpoint(out);
// Killed between the two, the model is a checkpoint behind.
if (latest !== null) await publishModel(out, latest);
for (let step = (latest?.state.step ?? 0) + 1; ; step++) {
  const next = checkpointAt(step, [tokenizerFile]);
  process.stdout.write(`writing ${step}\n`);
  await writeCheckpoint(out, next);
  process.stdout.write(`written ${step}\n`);
  const checkpoint = await latestCheckpoint(out);
  if (checkpoint === null) throw new Error('what was just written is not there');
  await publishModel(out, checkpoint);
  await pruneCheckpoints(out, 2);
}
