import type { PartPlace } from '../dataset/part-files.js';

export type { PartPlace as PartName } from '../dataset/part-files.js';
export type { PartSource } from '../dataset/part-source.js';

export const partKey = ({ part, shard }: PartPlace): string => `${part} ${shard}`;
