import { parentPort, workerData } from 'node:worker_threads';
import { firstLine } from '../errors.js';
import * as ort from '../onnx/runtime.js';
import { SCALER } from './graph/loss-scale.js';
import { RATES } from './graph/step.js';
import {
  byGroup,
  PARAMETER_GROUPS,
  type ParameterGroup,
  type ParameterVectors,
  type TrainerState,
  vectorShape,
} from './parameters.js';
import type { CallData, SessionReply, SessionRequest, SessionStart } from './session.js';

// The training session in its own thread: `run()` blocks the thread that it is called on.
const start = workerData as SessionStart;
if (parentPort === null) throw new Error('session.worker must run in a worker thread');
const port = parentPort;
const reply = (message: SessionReply, transfer: ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer);

const options: ort.InferenceSession.SessionOptions = {
  executionProviders: [start.device],
  graphOptimizationLevel: 'all',
  executionMode: 'sequential',
  intraOpNumThreads: start.threads,
  // A plan of memory is laid out on the second run, beside what the first one took: 1,012 MB against 625 at 5M
  // parameters and 2,048 tokens, and no faster.
  enableMemPattern: false,
  interOpNumThreads: 1,
  // Weight decay and cold moments make denormals, which cost a hundred times a normal number.
  extra: { session: { set_denormal_as_zero: '1' } },
};

/** Parts of the state, by the graph's words for them. */
const fields = { weights: 'weights', firstMoment: 'first_moment', secondMoment: 'second_moment' } as const;
type Field = keyof typeof fields;
const nameOf = (group: ParameterGroup, field: Field) => `${group}_${fields[field]}` as const;

/** The state's tensors by the graph's names. */
const tensorsOf = (state: TrainerState): Record<string, ort.Tensor> =>
  Object.fromEntries(
    PARAMETER_GROUPS.flatMap((group) =>
      (Object.keys(fields) as Field[]).map((field) => {
        const vector = state[field][group];
        return [nameOf(group, field), new ort.Tensor('float32', vector, vectorShape(vector.length))];
      }),
    ),
  );

function dataFeeds(data: CallData, dims: readonly number[]): Record<string, ort.Tensor> {
  return Object.fromEntries(
    Object.entries(data).map(([name, values]) => [
      name,
      values instanceof Int32Array
        ? new ort.Tensor('int32', values, dims)
        : new ort.Tensor('float32', values, dims),
    ]),
  );
}

const doubles = (tensor: ort.Tensor | undefined): Float64Array => {
  if (!(tensor?.data instanceof Float64Array)) throw new Error('the graph gave no float64 output');
  return tensor.data;
};

const floats = (tensor: ort.Tensor | undefined): Float32Array => {
  if (!(tensor?.data instanceof Float32Array)) throw new Error('the graph gave no float32 output');
  return tensor.data;
};

try {
  const step = await ort.InferenceSession.create(start.step, options);
  const losses = start.losses === null ? null : await ort.InferenceSession.create(start.losses, options);
  const { accumulate, rows, length } = start.shape;
  let state = tensorsOf(start.state);
  let scaler = start.state.scaler ?? null;
  // Two sets of state take turns as input and output, so that a step allocates nothing that lives on.
  let spare: Record<string, ort.Tensor> = Object.fromEntries(
    Object.entries(state).map(([name, { dims }]) => [
      name,
      new ort.Tensor('float32', new Float32Array(dims.reduce((product, size) => product * size, 1)), dims),
    ]),
  );

  const takeSteps = async (request: Extract<SessionRequest, { kind: 'step' }>): Promise<void> => {
    const steps = request.rates.length / RATES.length;
    const feeds = {
      ...state,
      ...(scaler !== null && { scaler: new ort.Tensor('float64', scaler, [SCALER.length]) }),
      rates: new ort.Tensor('float32', request.rates, [steps, RATES.length]),
      ...dataFeeds(request.data, [steps, accumulate, rows, length]),
    };
    const fetches: Record<string, ort.Tensor | null> = {
      metrics: null,
      ...(scaler !== null && { new_scaler: null }),
    };
    for (const [name, tensor] of Object.entries(spare)) fetches[`new_${name}`] = tensor;
    const outputs = await step.run(feeds, fetches);
    [state, spare] = [spare, state];
    if (scaler !== null) scaler = Float64Array.from(doubles(outputs['new_scaler']));
    reply({ id: request.id, kind: 'metrics', metrics: Float64Array.from(doubles(outputs['metrics'])) });
  };

  const forward = async (request: Extract<SessionRequest, { kind: 'losses' }>): Promise<void> => {
    if (losses === null) throw new Error('this session was opened without a graph for losses');
    const weights = PARAMETER_GROUPS.map((group) => `${group}_weights`);
    const feeds = {
      ...Object.fromEntries(weights.map((name) => [name, state[name] as ort.Tensor])),
      ...dataFeeds(request.data, [rows, length]),
    };
    const loss = Float32Array.from(floats((await losses.run(feeds))['loss']));
    reply({ id: request.id, kind: 'losses', loss }, [loss.buffer]);
  };

  const copyState = (id: number): void => {
    const copies: ArrayBuffer[] = [];
    const vectors = (field: Field): ParameterVectors =>
      byGroup((group) => {
        const copy = Float32Array.from(floats(state[nameOf(group, field)]));
        copies.push(copy.buffer);
        return copy;
      });
    reply(
      {
        id,
        kind: 'state',
        state: {
          weights: vectors('weights'),
          firstMoment: vectors('firstMoment'),
          secondMoment: vectors('secondMoment'),
          ...(scaler !== null && { scaler }),
        },
      },
      copies,
    );
  };

  let queue: Promise<void> = Promise.resolve();
  port.on('message', (request: SessionRequest) => {
    queue = queue
      .then(() => {
        if (request.kind === 'step') return takeSteps(request);
        if (request.kind === 'losses') return forward(request);
        return copyState(request.id);
      })
      .catch((error: unknown) => reply({ id: request.id, kind: 'failed', message: firstLine(error) }));
  });
  reply({ id: null, kind: 'ready' });
} catch (error) {
  reply({ id: null, kind: 'failed', message: firstLine(error) });
}
