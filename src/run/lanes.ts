/**
 * Runs tasks on a number of lanes, each with a resource of its own that is opened once. A lane takes the next
 * task when it is free, so order of completion varies; nothing that is written may depend on it.
 * A task that throws ends the run after the other lanes' current tasks; the first error is thrown.
 */
export async function runLanes<Task, Resource extends { close(): Promise<void> }>(
  tasks: readonly Task[],
  lanes: number,
  open: () => Promise<Resource>,
  work: (task: Task, resource: Resource) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    const resource = await open();
    try {
      while (!failed) {
        const task = tasks[next++];
        if (task === undefined) return;
        await work(task, resource);
      }
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      await resource.close();
    }
  };
  const count = Math.min(lanes, tasks.length);
  const results = await Promise.allSettled(Array.from({ length: count }, lane));
  const rejected = results.find((result) => result.status === 'rejected');
  if (rejected) throw rejected.reason;
}
