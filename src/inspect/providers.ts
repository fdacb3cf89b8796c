import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Device } from '../model/prepared-model.js';
import { type DeviceProbe, probeDevice } from '../score/device.js';

export interface Runtime {
  /** Of the installed onnxruntime-node; null when it is not found. */
  readonly version: string | null;
  /** Folder of its native binding, where provider libraries must lie. */
  readonly folder: string | null;
  readonly devices: readonly DeviceReport[];
}

export interface DeviceReport extends DeviceProbe {
  /** What to do about a device that does not load; null where nothing helps or nothing is wrong. */
  readonly remedy: string | null;
}

const require = createRequire(import.meta.url);

/** Loads each provider in a process of its own and says what the missing ones need. */
export function describeRuntime(): Runtime {
  const { version, folder } = findRuntime();
  const devices = (['cpu', 'cuda', 'webgpu'] as const).map((device): DeviceReport => {
    const probe = probeDevice(device);
    return { ...probe, remedy: probe.loads ? null : remedyFor(device, version, folder) };
  });
  return { version, folder, devices };
}

function findRuntime(): Pick<Runtime, 'version' | 'folder'> {
  try {
    const file = join(dirname(require.resolve('onnxruntime-node')), '..', 'package.json');
    const { version } = z.object({ version: z.string() }).parse(JSON.parse(readFileSync(file, 'utf8')));
    const folder = join(dirname(file), 'bin', 'napi-v6', platform(), arch());
    return { version, folder: existsSync(folder) ? folder : null };
  } catch {
    return { version: null, folder: null };
  }
}

const CUDA_LIBRARIES = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];

function remedyFor(device: Device, version: string | null, folder: string | null): string | null {
  if (version === null) return 'onnxruntime-node is not installed; run npm install again';
  if (folder === null)
    return `onnxruntime-node ${version} has no binding for ${platform()} ${arch()}; use Linux x64 or arm64, macOS arm64 or Windows`;
  if (device === 'cpu') return 'reinstall onnxruntime-node; on Linux it needs glibc, musl will not do';
  if (device === 'webgpu')
    return 'needs a GPU with a Vulkan, Metal or Direct3D 12 driver; software renderers are refused';
  if (platform() !== 'linux' || arch() !== 'x64') return 'CUDA runs on Linux x64 only';
  const missing = CUDA_LIBRARIES.filter((name) => !existsSync(join(folder, name)));
  if (missing.length > 0) {
    return `${missing.join(' and ')} of ONNX Runtime ${version} (the same version as onnxruntime-node) not found in ${folder}; put the files there, or reinstall onnxruntime-node with ONNXRUNTIME_NODE_INSTALL=cuda12, whose install script fetches them`;
  }
  return `the provider's files are in ${folder}; it needs an NVIDIA driver, and cuBLAS, cuBLASLt, cuDNN, cuFFT, cuRAND and the CUDA runtime of its CUDA version where the loader looks (LD_LIBRARY_PATH is ${process.env['LD_LIBRARY_PATH'] || 'not set'})`;
}
