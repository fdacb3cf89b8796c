/**
 * The loss head's share of a forward pass, by vocabulary: models of the same body with few layers and with some more,
 * so that the time of a layer and of what is not a layer (embedding, final norm, head) come apart.
 */
import { join } from 'node:path';
import { writeRandomLlama } from '../../support/random-checkpoint.mjs';
import { makeBatch, modes, openModels, prepare, rowsOf, timeCalls } from '../ours.mjs';
import { sizes } from '../sizes.mjs';

export async function head(job, { watch, emit, timeLeft }) {
  const { shape, batchTokens } = sizes[job.headBody];
  const length = job.lengths[Math.floor(job.lengths.length / 2)];
  const rows = rowsOf(job.batchTokens ?? batchTokens, length);
  for (const vocabulary of job.vocabularies) {
    const times = [];
    for (const layers of job.headLayers) {
      if (timeLeft() < 3 * job.seconds) return emit({ vocabulary, skipped: 'out of time' });
      const folder = join(job.work, `head-${vocabulary}-${layers}`);
      const own = { vocab_size: vocabulary, num_hidden_layers: layers, tie_word_embeddings: true };
      await writeRandomLlama(folder, { ...shape, ...own });
      const { device, precision, cache, headProduct } = job;
      const model = await prepare(folder, { device, precision, rows, length, cache, headProduct });
      const opened = await openModels([model], device, precision);
      const batch = makeBatch(rows, length, vocabulary);
      const timed = await timeCalls(() => modes.one(opened.sessions, batch), job.seconds / 2, watch);
      await opened.close();
      times.push(timed.seconds / timed.calls);
    }
    const [few, more] = job.headLayers;
    const layer = (times[1] - times[0]) / (more - few);
    const rest = times[0] - few * layer;
    const whole = rest + shape.num_hidden_layers * layer;
    emit({
      ...{
        vocabulary,
        body: job.headBody,
        layers: shape.num_hidden_layers,
        rows,
        length,
        precision: job.precision,
      },
      ...{ layer_s: layer, head_s: rest, share: rest / whole },
      // By operations alone, for comparison: what a head as efficient as the body would take.
      share_of_flops: shareOfFlops(shape, vocabulary, length),
    });
  }
}

function shareOfFlops(shape, vocabulary, length) {
  const { hidden_size: H, intermediate_size: I, num_hidden_layers: L } = shape;
  const kv = (H / shape.num_attention_heads) * shape.num_key_value_heads;
  const body = L * (2 * (2 * H * H + 2 * H * kv + 3 * H * I) + 2 * H * length);
  return (2 * H * vocabulary) / (2 * H * vocabulary + body);
}
