import type { Device } from '../model/prepared-model.js';
import { sessionOptions } from '../model/session-options.js';
import * as ort from '../onnx/runtime.js';

// Opens a graph with fallback allowed and the log at its most talkative; the log is what is wanted.
const [graphPath = '', weightsFolder = '', device = 'cuda'] = process.argv.slice(2);
const options = sessionOptions(
  { weightsFolder },
  { device: device as Device, threads: 1, mayFallBack: true },
);
try {
  await ort.InferenceSession.create(graphPath, { ...options, logSeverityLevel: 0, logVerbosityLevel: 1 });
} catch {
  process.exitCode = 1;
}
