export type { PartSource } from '../dataset/part-source.js';
