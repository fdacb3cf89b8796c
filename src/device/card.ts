/** The NVIDIA cards of this machine, as nvidia-smi tells of them. */
import { askNvidiaSmi } from './nvidia-smi.js';

export interface Card {
  /** As the runtime counts: among the cards that CUDA_VISIBLE_DEVICES leaves. */
  readonly index: number;
  readonly name: string;
  readonly memoryBytes: number;
  readonly driver: string;
}

const fields = ['index', 'uuid', 'name', 'memory.total', 'driver_version'] as const;

/** Visible cards; none where nvidia-smi is not there or fails. */
export function readCards(): readonly Card[] {
  const text = askNvidiaSmi(fields, false);
  return text === null ? [] : parseCards(text, process.env['CUDA_VISIBLE_DEVICES']);
}

/**
 * @param text a line a card: index, uuid, name, memory in MiB, driver
 * @param visible CUDA_VISIBLE_DEVICES: indices or beginnings of uuids, in the order that CUDA counts by; the first that
 *   names no card ends the list, as it does for CUDA
 */
export function parseCards(text: string, visible: string | undefined): Card[] {
  const all = text
    .split('\n')
    .map((line) => line.split(',').map((field) => field.trim()))
    .filter((parts) => parts.length === fields.length)
    .map(([index = '', uuid = '', name = '', mebibytes = '', driver = '']) => ({
      index,
      uuid,
      name,
      memoryBytes: Number(mebibytes) * 2 ** 20,
      driver,
    }))
    .filter(({ memoryBytes }) => memoryBytes > 0);
  const chosen: typeof all = [];
  if (visible === undefined) chosen.push(...all);
  else {
    for (const wanted of visible.split(',').map((entry) => entry.trim())) {
      const found = all.find(
        ({ index, uuid }) => wanted === index || (wanted.length > 4 && uuid.startsWith(wanted)),
      );
      if (found === undefined) break;
      chosen.push(found);
    }
  }
  return chosen.map(({ name, memoryBytes, driver }, index) => ({ index, name, memoryBytes, driver }));
}
