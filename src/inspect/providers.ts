import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type DeviceProbe, probeDevice } from '../device/device.js';
import type { Device } from '../model/prepared-model.js';
import { type CudaFacts, cudaFacts, cudaFindings } from './cuda.js';

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
  /** CUDA: what stands in the way, beside the remedy; also of a provider that loads. */
  readonly findings: readonly string[];
}

const require = createRequire(import.meta.url);

/** Loads each provider in a process of its own and says what the missing ones need. */
export async function describeRuntime(): Promise<Runtime> {
  const { version, folder } = findRuntime();
  const cuda = await findCuda();
  const findings = cuda === null ? [] : cudaFindings(cuda);
  const devices = (['cpu', 'cuda', 'webgpu'] as const).map((device): DeviceReport => {
    const probe = probeDevice(device);
    return {
      ...probe,
      remedy: probe.loads ? null : remedyFor(device, version, folder, findings),
      findings: device === 'cuda' ? findings : [],
    };
  });
  return { version, folder, devices };
}

/** What there is of CUDA; null where it cannot run at all. */
export async function findCuda(): Promise<CudaFacts | null> {
  const { version, folder } = findRuntime();
  if (version === null || folder === null || platform() !== 'linux' || arch() !== 'x64') return null;
  return cudaFacts(version, folder);
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

function remedyFor(
  device: Device,
  version: string | null,
  folder: string | null,
  findings: readonly string[],
): string | null {
  if (version === null) return 'onnxruntime-node is not installed; run npm install again';
  if (folder === null)
    return `onnxruntime-node ${version} has no binding for ${platform()} ${arch()}; use Linux x64 or arm64, macOS arm64 or Windows`;
  if (device === 'cpu') return 'reinstall onnxruntime-node; on Linux it needs glibc, musl will not do';
  if (device === 'webgpu')
    return 'needs a GPU with a Vulkan, Metal or Direct3D 12 driver; software renderers are refused';
  if (platform() !== 'linux' || arch() !== 'x64') return 'CUDA runs on Linux x64 only';
  if (findings.length > 0) return findings.join('; ');
  return `the provider's files are in ${folder}, the libraries it needs by name are found and a driver answers; whatever else it loads (cuDNN, for some builds) must be where the loader looks (LD_LIBRARY_PATH is ${process.env['LD_LIBRARY_PATH'] || 'not set'})`;
}
