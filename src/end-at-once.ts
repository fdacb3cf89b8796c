/**
 * Ends this process as Ctrl-C ends any program, which shells tell as 130. An exit would wait for threads inside ONNX
 * Runtime, and the runtime would then abort the process (134), for want of a JavaScript to come back to.
 */
export function endAtOnce(): void {
  process.removeAllListeners('SIGINT');
  process.kill(process.pid, 'SIGINT');
  // The first process of a container is not ended by signals of its own.
  process.exit(130);
}
