/** Which nodes of a graph a device leaves to the CPU, by the runtime's own word. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Device } from '../model/prepared-model.js';

/** In the message with which the runtime refuses a session that may not fall back. */
export const FALLBACK_REFUSED = 'fallback to CPU EP has been explicitly disabled';

const TIMEOUT_MS = 300_000;

/** The runtime says where each node went in its log alone, on the process's error stream: so, a process. */
export async function nodesOnCpu(
  graphPath: string,
  weightsFolder: string,
  device: Device,
): Promise<string[]> {
  const probe = spawn(
    process.execPath,
    [fileURLToPath(new URL('./placement.probe.js', import.meta.url)), graphPath, weightsFolder, device],
    { stdio: ['ignore', 'ignore', 'pipe'], timeout: TIMEOUT_MS },
  );
  const lines: string[] = [];
  let rest = '';
  probe.stderr.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    // The log of a large graph is long; placements are a line a node.
    for (const line of parts) if (line.includes('VerifyEachNodeIsAssignedToAnEp')) lines.push(line);
  });
  await new Promise<void>((resolve) => {
    probe.on('close', () => resolve());
    probe.on('error', () => resolve());
  });
  return parsePlacement(lines);
}

/** Log lines → `Operator (name)` of the nodes under the CPU's heading. */
export function parsePlacement(lines: readonly string[]): string[] {
  const nodes: string[] = [];
  let onCpu = false;
  for (const line of lines) {
    const said = line.slice(line.indexOf(']', line.indexOf('VerifyEach')) + 1).trim();
    const heading = /placed on \[(\w+)\]/.exec(said);
    if (heading !== null) onCpu = heading[1] === 'CPUExecutionProvider';
    else if (onCpu && /^\S+ \(.*\)$/.test(said)) nodes.push(said);
    else onCpu = false;
  }
  return nodes;
}
