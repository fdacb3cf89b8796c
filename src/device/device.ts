import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Device } from '../model/prepared-model.js';

/** Whether a device's provider loads here, and why not. */
export interface DeviceProbe {
  readonly device: Device;
  readonly loads: boolean;
  /** One line: the version that loaded, or the runtime's own words. */
  readonly detail: string;
}

/** A provider that needs longer than this to load is taken for stuck. */
const PROBE_TIMEOUT_MS = 60_000;

/** Loads the device's provider in a process of its own, where a crashing driver harms nobody. */
export function probeDevice(device: Device): DeviceProbe {
  const probe = spawnSync(
    process.execPath,
    [fileURLToPath(new URL('./device.probe.js', import.meta.url)), device],
    {
      encoding: 'utf8',
      timeout: PROBE_TIMEOUT_MS,
    },
  );
  const said = (probe.stdout ?? '').trim().split('\n').at(-1) ?? '';
  if (probe.status === 0) return { device, loads: true, detail: said };
  const why =
    said ||
    (probe.stderr ?? '').trim().split('\n')[0] ||
    `the provider ended with ${probe.signal ?? probe.status}`;
  return { device, loads: false, detail: why };
}

export interface ChosenDevice {
  readonly device: Device;
  /** Why, in words for the log. */
  readonly why: string;
}

/** `auto` takes CUDA where its provider loads and the CPU otherwise; a named device is taken at its word. */
export function chooseDevice(wanted: Device | 'auto'): ChosenDevice {
  if (wanted !== 'auto') return { device: wanted, why: `device ${wanted}, as asked` };
  const cuda = probeDevice('cuda');
  return cuda.loads
    ? { device: 'cuda', why: `device cuda: ${cuda.detail}` }
    : { device: 'cpu', why: `device cpu: CUDA does not load here (${cuda.detail})` };
}
