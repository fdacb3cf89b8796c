import { parentPort } from 'node:worker_threads';
import { firstLine } from '../../errors.js';
import type { GradingReply, GradingRequest } from './grader.js';
import { gradedTask } from './tasks.js';
import { verdictOn } from './verdict.js';

// Grades items in a thread that can be ended: an answer may be made to hold it up.
if (parentPort === null) throw new Error('grading.worker must run in a worker thread');
const port = parentPort;
const reply = (message: GradingReply): void => port.postMessage(message);

port.on('message', ({ id, task, output, right }: GradingRequest) => {
  try {
    reply({ kind: 'verdict', id, verdict: verdictOn({ output, right }, gradedTask(task)) });
  } catch (error) {
    reply({ kind: 'refused', id, reason: firstLine(error) });
  }
});
reply({ id: null, kind: 'ready' });
