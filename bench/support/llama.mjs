export { shapes, writeLlama } from '../model.mjs';
