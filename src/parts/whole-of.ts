import type { PlanNotes, WorkerNotes } from './worker-notes.js';

/**
 * How many parts there are in all. A plan knows it where no shard has to be read for it; of compressed jsonl those tell who came to
 * the end: the process that was at it last, or every share of an array. Null where nobody did, or none of them said.
 * @param notes of the processes that worked at the plan's parts
 */
export function wholeOf(plan: PlanNotes | undefined, notes: readonly WorkerNotes[]): number | null {
  if (plan !== undefined && plan.streams === 0) return plan.parts;
  const own = notes.filter(({ recipe }) => plan === undefined || recipe === plan.recipe);
  const latest = [...own].sort((a, b) => Date.parse(b.updated) - Date.parse(a.updated));
  const [last] = latest;
  if (last?.state !== 'done') return null;
  if (last.share === null) return last.whole ?? null;
  const { count } = last.share;
  let whole = 0;
  for (let index = 0; index < count; index++) {
    const one = latest.find(
      ({ share, state }) => state === 'done' && share?.index === index && share.count === count,
    );
    if (one?.whole === undefined) return null;
    whole += one.whole;
  }
  return whole;
}
