/**
 * Runs tasks on a number of lanes, each with a resource of its own that is opened once. A lane takes the next
 * task when it is free, so order of completion varies; nothing that is written may depend on it.
 * A lane that fails raises the signal that `work` was given, so that the others stop where they can, and ends
 * the run; the first error is thrown.
 * @param signal ends the run from outside
 */
export async function runLanes<Task, Resource extends { close(): Promise<void> }>(
  tasks: readonly Task[],
  lanes: number,
  signal: AbortSignal,
  open: () => Promise<Resource>,
  work: (task: Task, resource: Resource, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  let next = 0;
  const failure = new AbortController();
  const either = AbortSignal.any([signal, failure.signal]);
  const runLane = async (): Promise<void> => {
    const resource = await open();
    try {
      while (!failure.signal.aborted) {
        const task = tasks[next++];
        if (task === undefined) return;
        await work(task, resource, either);
      }
    } finally {
      await resource.close();
    }
  };
  // The first reason stays: lanes that stop because of it throw it too.
  const lane = (): Promise<void> => runLane().catch((error: unknown) => failure.abort(error));
  await Promise.all(Array.from({ length: Math.min(lanes, tasks.length) }, lane));
  failure.signal.throwIfAborted();
}
