import type { Diagnosis } from '../../inspect/doctor.js';
import { bytes, significant, table } from '../format.js';
import { cell, facts, pathCell, screen } from './screen.js';

export function diagnosisText({ machine, runtime, checks, disks, cpuWorks }: Diagnosis): string {
  const { cgroup } = machine;
  const limits = [
    cgroup.memoryBytes === null ? '' : `memory ${bytes(cgroup.memoryBytes)}`,
    cgroup.cores === null ? '' : `${significant(cgroup.cores)} cores`,
  ].filter((limit) => limit !== '');
  const mark = (works: boolean): string => (works ? 'yes' : 'no');
  const results = [
    ...runtime.devices.map(({ device, loads, detail }) => [
      device,
      mark(loads),
      cell(withoutPlace(detail), 160),
    ]),
    ...checks.map(({ name, works, detail }) => [name, mark(works), cell(detail, 200)]),
  ];
  const remedies = runtime.devices.flatMap(({ device, remedy }) =>
    remedy === null ? [] : [`${device}: ${pathCell(remedy)}`],
  );
  return screen([
    facts([
      ['node', machine.node],
      ['system', machine.system],
      [
        'processor',
        `${cell(machine.processor)}, ${machine.cores} cores, ${machine.parallelism} for this process`,
      ],
      ['memory', `${bytes(machine.memoryBytes)}, ${bytes(machine.freeMemoryBytes)} free`],
      ['cgroup limits', limits.length === 0 ? 'none' : limits.join(', ')],
      ['onnxruntime-node', runtime.version ?? 'not found'],
      ...disks.map(({ folder, freeBytes }): [string, string] => [
        'disk free',
        `${freeBytes === null ? 'unknown' : bytes(freeBytes)} in ${pathCell(folder)}`,
      ]),
    ]),
    table(results),
    remedies.length === 0 ? '' : `To get what is missing:\n${remedies.map((line) => `  ${line}`).join('\n')}`,
    cpuWorks
      ? 'Scoring on the CPU works here.'
      : 'Scoring does not work here: the CPU provider does not load.',
  ]);
}

/** ONNX Runtime puts the source line, the function and the failed check before what it has to say. */
const withoutPlace = (detail: string): string => detail.replace(/^\/\S+:\d+ .* was (?:true|false)\. /, '');
