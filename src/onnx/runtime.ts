/** ONNX Runtime, which is loaded from here alone: without its telemetry. */
import '../no-telemetry.js';

export * from 'onnxruntime-node';
