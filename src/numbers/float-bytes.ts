/** Floats as the bytes of a tensor of any float type, rounded to nearest, ties to even. */

import { fatalError } from '../errors.js';
import type { FloatType } from '../onnx/graph.js';
import { toHalf } from './half.js';

/** Little-endian bytes of [n] floats. */
export function floatBytes(values: Float32Array, type: FloatType): Uint8Array {
  if (type === 'float32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const rounded = new Uint16Array(values.length);
  if (type === 'bfloat16') toBfloat16(values, rounded);
  else {
    const beyond = toHalf(values, rounded);
    if (beyond >= 0) {
      throw fatalError(
        'beyond-half',
        `the constant ${values[beyond]} is beyond what float16 holds; report this`,
      );
    }
  }
  return new Uint8Array(rounded.buffer);
}

/** The upper half of a float's bits, rounded; NaN stays one. */
export function toBfloat16(values: Float32Array, target: Uint16Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i] as number;
    target[i] = (value & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
}
