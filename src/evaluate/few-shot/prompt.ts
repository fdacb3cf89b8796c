/** Prompts of the paper's few-shot protocol, to the byte. */
import type { Asked, Frame } from './questions.js';

/** The prompt: worked examples, three line ends, the question in its frame. */
export function promptOf(examples: string, { question, answer }: Asked, frame: Frame): string {
  const asked = `${question.trim()}${hintOf(answer)}`.trim();
  const framed = frame === 'question' ? `Question: ${asked}\nAnswer:` : `Problem:\n${asked}\nSolution:`;
  return `${examples.trim()}\n\n\n${framed}`;
}

/** What a question is told of whose answer is one of two words. */
function hintOf(answer: string): string {
  if (/^(?:true|false)$/i.test(answer)) return ' (True or False)';
  return /^(?:yes|no)$/i.test(answer) ? ' (Yes or No)' : '';
}
